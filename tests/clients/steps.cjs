// What the scripts of the JavaScript clients share: where to, what only this run sends, and the report of each step.
"use strict";

const assert = require("node:assert/strict");
const { randomUUID, createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");

// From the test, as JSON on standard input: endpoint, key, secret, version, and the client's own options.
const given = JSON.parse(readFileSync(0, "utf8"));

const iri = () => `https://ent.example/${randomUUID()}`;
const account = () => ({ objectType: "Agent", account: { homePage: "https://ent.example", name: randomUUID() } });

// A statement as plain JSON, by whom and about what nobody else has statements.
function statement(changes = {}) {
  return {
    actor: account(),
    verb: { id: "http://adlnet.gov/expapi/verbs/experienced", display: { en: "experienced" } },
    object: { objectType: "Activity", id: iri() },
    ...changes,
  };
}

function attachment(content, contentType) {
  return {
    usageType: "http://id.tincanapi.com/attachment/supporting_media",
    display: { en: "Copy" },
    contentType,
    length: content.length,
    sha2: createHash("sha256").update(content).digest("hex"),
  };
}

// Run the steps in order, each whatever the others did, and print one JSON line for each: {step, ok, detail}.
async function run(steps) {
  for (const [step, act] of Object.entries(steps)) {
    let told = { step, ok: true, detail: "" };
    try {
      await act();
    } catch (error) {
      told = { step, ok: false, detail: `${error?.stack ?? JSON.stringify(error)}\n${error?.response?.data ?? ""}` };
    }
    process.stdout.write(JSON.stringify(told) + "\n");
  }
}

module.exports = { account, assert, attachment, given, iri, randomUUID, run, statement };
