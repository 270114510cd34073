// Builds the page into the Python package. Names carry no hash, so that a rebuild changes few files;
// bundle.json says which source the files were built from (tests/serve/page checks it).
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { defineConfig } from "vite";

const HERE = import.meta.dirname;
const PAGE = join(HERE, "../src/steiner/serve/page");
const SOURCES = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js", "src"];

const files = (path) => {
  const found = readdirSync(path, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
};

/** SHA-256 of "path digest" lines, sorted by path with / between its parts. */
const digest = (paths, root) => {
  const lines = paths.map((path) => {
    const name = relative(root, path).split(sep).join("/");
    return `${name} ${createHash("sha256").update(readFileSync(path)).digest("hex")}\n`;
  });
  return createHash("sha256").update(lines.sort().join("")).digest("hex");
};

const record = {
  name: "record-what-it-was-built-from",
  closeBundle() {
    const sources = SOURCES.flatMap((name) => (name === "src" ? files(join(HERE, name)) : [join(HERE, name)]));
    const built = files(PAGE).filter((path) => !path.endsWith("bundle.json") && !path.endsWith(".py"));
    const body = { source: digest(sources, HERE), built: digest(built, PAGE) };
    writeFileSync(join(PAGE, "bundle.json"), `${JSON.stringify(body, null, 2)}\n`);
  },
};

export default defineConfig({
  base: "./",
  plugins: [record],
  build: {
    outDir: PAGE,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      output: { entryFileNames: "page.js", assetFileNames: "page[extname]", chunkFileNames: "[name].js" },
    },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/health": "http://127.0.0.1:8000" } },
});
