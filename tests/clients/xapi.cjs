// @xapi/xapi drives the server; tests/clients/test_javascript.py reads what this prints.
"use strict";

const XAPI = require("@xapi/xapi");
const { account, assert, attachment, given, iri, randomUUID, run, statement } = require("./steps.cjs");

const lrs = connect(given.key, given.secret);
// Under Node, axios sends what has attachments as application/octet-stream, whatever the client tells it.
const sender = connect(given.key, given.secret, "fetch");
function connect(key, secret, adapter = given.adapter) {
  const { endpoint, version } = given;
  return new XAPI({ endpoint, version, adapter, auth: XAPI.toBasicAuth(key, secret) });
}

// The status of a refusal: axios keeps the answer, the adapter `fetch` only its text, which says its status.
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error.response ? error.response.status : JSON.parse(error.message).status;
  }
  return "not refused";
}

const ids = (answer) => answer.data.statements.map((each) => each.id);

const agent = { name: "Élève", ...account() };
const registration = randomUUID();
const lesson = {
  objectType: "Activity",
  id: iri(),
  definition: { name: { fr: "Leçon", en: "Lesson" }, type: "http://adlnet.gov/expapi/activities/lesson" },
};
const verb = { id: iri(), display: { en: "practised" } };
const first = statement({
  actor: agent,
  verb,
  object: lesson,
  context: { registration },
  result: { score: { scaled: 0.5 }, success: true, duration: "PT1M30S" },
  timestamp: "2026-11-20T09:30:00Z",
});
let id;

// What the three document resources share: their methods of the client, and what they take.
function documents(kind, where, key) {
  const named = (name) => ({ ...where, [key]: name });
  const body = { State: "state", ActivityProfile: "profile", AgentProfile: "profile" }[kind];
  return {
    get: (name, more) => lrs[`get${kind}`]({ ...named(name), ...more }),
    list: (more) => lrs[`get${kind}s`]({ ...where, ...more }),
    set: (name, content, more) => lrs[`set${kind}`]({ ...named(name), [body]: content, ...more }),
    merge: (name, content, more) => lrs[`create${kind}`]({ ...named(name), [body]: content, ...more }),
    delete: (name, more) => lrs[`delete${kind}`]({ ...named(name), ...more }),
  };
}

const state = documents("State", { agent, activityId: lesson.id }, "stateId");
const absent = { matchHeader: "If-None-Match", etag: "*" };

function documentSteps(prefix, kind, where, key) {
  const these = documents(kind, where, key);
  return {
    [`${prefix} written and read`]: async () => {
      await these.set("preferences", { level: 1, name: "é" }, absent);
      const answer = await these.get("preferences");
      assert.deepEqual(answer.data, { level: 1, name: "é" });
      assert.match(answer.headers["content-type"], /^application\/json/);
    },
    [`${prefix} of text`]: async () => {
      await these.set("notes", "any text", { ...absent, contentType: "text/plain" });
      const answer = await these.get("notes");
      assert.equal(answer.data, "any text");
      assert.match(answer.headers["content-type"], /^text\/plain/);
    },
    [`${prefix} merged`]: async () => {
      await these.merge("preferences", { theme: "dark" });
      assert.deepEqual((await these.get("preferences")).data, { level: 1, name: "é", theme: "dark" });
    },
    [`${prefix} replaced by ETag`]: async () => {
      const { etag } = (await these.get("preferences")).headers;
      await these.set("preferences", { level: 2 }, { matchHeader: "If-Match", etag });
      assert.deepEqual((await these.get("preferences")).data, { level: 2 });
      const stale = these.set("preferences", { level: 3 }, { matchHeader: "If-Match", etag });
      assert.equal(await refusal(stale), 412);
      assert.equal(await refusal(these.set("preferences", { level: 3 }, absent)), 412);
      assert.deepEqual((await these.get("preferences")).data, { level: 2 });
    },
    [`${prefix} listed`]: async () => {
      assert.deepEqual((await these.list()).data.sort(), ["notes", "preferences"]);
      assert.deepEqual((await these.list({ since: "2099-01-01T00:00:00Z" })).data, []);
    },
    [`${prefix} deleted`]: async () => {
      const { etag } = (await these.get("preferences")).headers;
      await these.delete("preferences", { etag });
      assert.equal(await refusal(these.get("preferences")), 404);
      await these.delete("notes");
      assert.deepEqual((await these.list()).data, []);
    },
  };
}

run({
  about: async () => {
    assert.deepEqual((await lrs.getAbout()).data.version, ["1.0.3", "2.0.0"]);
  },
  "wrong secret": async () => {
    const stranger = connect(given.key, "none");
    assert.equal(await refusal(stranger.sendStatement({ statement: statement() })), 401);
  },
  statement: async () => {
    const answer = await lrs.sendStatement({ statement: first });
    assert.equal(answer.headers["x-experience-api-version"], given.version === "2.0.0" ? "2.0.0" : "1.0.3");
    [id] = answer.data;
  },
  "read by id": async () => {
    const { data } = await lrs.getStatement({ statementId: id });
    assert.deepEqual(Object.fromEntries(Object.keys(first).map((name) => [name, data[name]])), first);
    assert.ok(data.stored && data.authority);
  },
  formats: async () => {
    const byIds = (await lrs.getStatement({ statementId: id, format: "ids" })).data;
    assert.equal(byIds.object.id, lesson.id);
    assert.equal(byIds.object.definition, undefined);
    const canonical = (await lrs.getStatement({ statementId: id, format: "canonical" })).data;
    assert.equal(Object.keys(canonical.object.definition.name).length, 1);
  },
  "statement of a chosen id": async () => {
    const chosen = statement({ id: randomUUID() });
    assert.deepEqual((await lrs.sendStatement({ statement: chosen })).data, [chosen.id]);
    assert.deepEqual((await lrs.sendStatement({ statement: chosen })).data, [chosen.id]);
    const other = { ...chosen, object: { id: iri() } };
    assert.equal(await refusal(lrs.sendStatement({ statement: other })), 409);
  },
  "statement refused": async () => {
    assert.equal(await refusal(lrs.sendStatement({ statement: { actor: agent, object: lesson } })), 400);
  },
  batch: async () => {
    const actor = account();
    const sent = await lrs.sendStatements({ statements: [1, 2, 3].map(() => statement({ actor })) });
    assert.deepEqual(ids(await lrs.getStatements({ agent: actor, ascending: true })), sent.data);
  },
  "query by agent": async () => {
    assert.deepEqual(ids(await lrs.getStatements({ agent })), [id]);
  },
  "query by verb": async () => {
    assert.deepEqual(ids(await lrs.getStatements({ verb: verb.id })), [id]);
  },
  "query by activity": async () => {
    assert.deepEqual(ids(await lrs.getStatements({ activity: lesson.id })), [id]);
  },
  "query by registration": async () => {
    assert.deepEqual(ids(await lrs.getStatements({ registration })), [id]);
  },
  "query of everything": async () => {
    const query = { agent, verb: verb.id, activity: lesson.id, registration, format: "ids", limit: 10 };
    assert.deepEqual(ids(await lrs.getStatements(query)), [id]);
  },
  "query of related": async () => {
    const [instructor, course] = [account(), { id: iri() }];
    const context = { instructor, contextActivities: { parent: [course] } };
    const { data } = await lrs.sendStatement({ statement: statement({ context }) });
    assert.deepEqual(ids(await lrs.getStatements({ agent: instructor })), []);
    assert.deepEqual(ids(await lrs.getStatements({ agent: instructor, related_agents: true })), data);
    assert.deepEqual(ids(await lrs.getStatements({ activity: course.id })), []);
    assert.deepEqual(ids(await lrs.getStatements({ activity: course.id, related_activities: true })), data);
  },
  "query since and until": async () => {
    const actor = account();
    const [one] = (await lrs.sendStatement({ statement: statement({ actor }) })).data;
    const [two] = (await lrs.sendStatement({ statement: statement({ actor }) })).data;
    const { stored } = (await lrs.getStatement({ statementId: one })).data;
    assert.deepEqual(ids(await lrs.getStatements({ agent: actor, since: stored })), [two]);
    assert.deepEqual(ids(await lrs.getStatements({ agent: actor, until: stored })), [one]);
  },
  "more pages": async () => {
    const actor = account();
    const sent = (await lrs.sendStatements({ statements: [1, 2, 3, 4, 5].map(() => statement({ actor })) })).data;
    let page = await lrs.getStatements({ agent: actor, limit: 2, ascending: true });
    const [found, sizes] = [ids(page), [page.data.statements.length]];
    while (page.data.more) {
      page = await lrs.getMoreStatements({ more: page.data.more });
      found.push(...ids(page));
      sizes.push(page.data.statements.length);
    }
    assert.deepEqual(found, sent);
    assert.deepEqual(sizes, [2, 2, 1]);
  },
  void: async () => {
    const [wrong] = (await lrs.sendStatement({ statement: statement() })).data;
    await lrs.voidStatement({ actor: agent, statementId: wrong });
    assert.equal(await refusal(lrs.getStatement({ statementId: wrong })), 404);
    assert.equal((await lrs.getVoidedStatement({ voidedStatementId: wrong })).data.id, wrong);
  },
  "void a batch": async () => {
    const wrong = (await lrs.sendStatements({ statements: [statement(), statement()] })).data;
    await lrs.voidStatements({ actor: agent, statementIds: wrong });
    for (const each of wrong) {
      assert.equal((await lrs.getVoidedStatement({ voidedStatementId: each })).data.id, each);
    }
  },
  ...documentSteps("state", "State", { agent, activityId: lesson.id }, "stateId"),
  "state of a registration": async () => {
    await state.set("bookmark", { page: 3 }, { registration });
    assert.deepEqual((await state.get("bookmark", { registration })).data, { page: 3 });
    assert.deepEqual((await state.list({ registration })).data, ["bookmark"]);
    assert.equal(await refusal(state.get("bookmark")), 404);
  },
  "states deleted": async () => {
    await lrs.deleteStates({ agent, activityId: lesson.id });
    assert.deepEqual((await state.list()).data, []);
    assert.deepEqual((await state.list({ registration })).data, []);
  },
  ...documentSteps("activity profile", "ActivityProfile", { activityId: lesson.id }, "profileId"),
  ...documentSteps("agent profile", "AgentProfile", { agent }, "profileId"),
  person: async () => {
    const { data } = await lrs.getAgent({ agent });
    assert.equal(data.objectType, "Person");
    assert.deepEqual(data.account, [agent.account]);
  },
  activity: async () => {
    const { data } = await lrs.getActivity({ activityId: lesson.id });
    assert.equal(data.id, lesson.id);
    assert.deepEqual(data.definition, lesson.definition);
  },
  attachment: async () => {
    // This client reads an answer as text and keeps its last line: one line of UTF-8 is what it can give back.
    const line = Buffer.from("Élève : 18/20 — très bien");
    const sent = statement({ attachments: [attachment(line, "text/plain; charset=utf-8")] });
    const [stored] = (await sender.sendStatement({ statement: sent, attachments: [bytes(line)] })).data;
    const { data } = await lrs.getStatement({ statementId: stored, attachments: true });
    assert.equal(data.length, 2);
    assert.equal(data[0].id, stored);
    assert.deepEqual(data[0].attachments, sent.attachments);
    assert.deepEqual(Buffer.from(data[1]), line);
  },
  "attachments in a query": async () => {
    const actor = account();
    const described = [];
    // This client writes no line break between two attachments: sent together, the two would be one.
    for (const line of [Buffer.from("first"), Buffer.from("second")]) {
      described.push([attachment(line, "text/plain")]);
      const statements = [statement({ actor, attachments: described.at(-1) })];
      await sender.sendStatements({ statements, attachments: [bytes(line)] });
    }
    const { data } = await lrs.getStatements({ agent: actor, attachments: true, ascending: true });
    assert.deepEqual(data[0].statements.map((each) => each.attachments), described);
    assert.deepEqual(data.slice(1).map((each) => `${each}`).sort(), ["first", "second"]);
  },
  "attachment of any bytes": async () => {
    // Sent by the client; read without it, since it reads an answer as text.
    const content = Buffer.from(Array.from({ length: 1024 }, (_, n) => n % 256));
    const sent = statement({ attachments: [attachment(content, "application/octet-stream")] });
    const [stored] = (await sender.sendStatement({ statement: sent, attachments: [bytes(content)] })).data;
    const answer = await fetch(`${given.endpoint}/statements?statementId=${stored}&attachments=true`, {
      headers: {
        "X-Experience-API-Version": given.version,
        Authorization: XAPI.toBasicAuth(given.key, given.secret),
      },
    });
    assert.match(answer.headers.get("content-type"), /^multipart\/mixed/);
    assert.ok(Buffer.from(await answer.arrayBuffer()).includes(content));
  },
  "attachment by axios refused as known": async () => {
    const content = Buffer.from("content");
    const sent = statement({ attachments: [attachment(content, "text/plain")] });
    const byAxios = connect(given.key, given.secret, "axios");
    const status = await refusal(byAxios.sendStatement({ statement: sent, attachments: [bytes(content)] }));
    assert.equal(status, 400);
    assert.deepEqual(ids(await lrs.getStatements({ agent: sent.actor })), []);
  },
  "cache buster refused as known": async () => {
    // xAPI-Communication 3.2: a parameter that the standard does not know is refused; this option adds one.
    assert.equal(await refusal(lrs.getStatements({ agent, useCacheBuster: true })), 400);
  },
});

function bytes(content) {
  return content.buffer.slice(content.byteOffset, content.byteOffset + content.byteLength);
}
