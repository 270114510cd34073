/** Puts the page together. */

import { App } from "./app";
import { localeOf, stringsOf } from "./strings";

const asked = new URLSearchParams(location.search).get("lang");
const locale = localeOf(asked ? [asked] : navigator.languages);
document.documentElement.lang = locale === "zh" ? "zh-CN" : "en";
const root = document.querySelector("#app");
if (root) new App(root, locale, stringsOf(locale)).start();
