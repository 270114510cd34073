"""An OpenAI-compatible server that shows the reasoning and bounds it.

`settings` says what may be set, `app` joins the parts, `engines` write the tokens. Everything between a
request's bytes and the engine is pure: `bodies` checks, `prompts` encodes, `speak` turns tokens into deltas,
`wire` into JSON. See `docs/serving.md`.
"""
