// tincanjs drives the server; tests/clients/test_javascript.py reads what this prints.
"use strict";

const TinCan = require("tincanjs");
const { account, assert, given, iri, randomUUID, run, statement } = require("./steps.cjs");

const lrs = connect(given.key, given.secret);
function connect(username, password) {
  const { endpoint, version } = given;
  return new TinCan.LRS({ endpoint, version, username, password, allowFail: false });
}

// The client's methods take a callback of (error, result); `err` is the status of a refusal, the result its answer.
function ask(method, ...rest) {
  return askOf(lrs, method, ...rest);
}
function askOf(client, method, ...rest) {
  const cfg = rest.pop();
  return new Promise((resolve, reject) => {
    const callback = (err, result) =>
      err === null ? resolve(result) : reject(new Refusal(method, err, result?.responseText));
    client[method](...rest, { ...cfg, callback });
  });
}
class Refusal extends Error {
  constructor(method, status, text) {
    super(`${method}: ${status} ${text}`);
    this.status = status;
  }
}
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error.status;
  }
  return "not refused";
}

const made = (changes) => new TinCan.Statement(statement(changes), { storeOriginal: false, doStamp: false });
// The client stamps no id unless it is told to, so it POSTs; the ids are in the answer.
const save = async (changes) => JSON.parse((await ask("saveStatement", made(changes), {})).responseText)[0];
const ids = (result) => result.statements.map((each) => each.id);
const find = async (params) => ids(await ask("queryStatements", { params }));

const agent = new TinCan.Agent({ name: "Élève", ...account() });
const registration = randomUUID();
const definition = { name: { fr: "Leçon", en: "Lesson" }, type: "http://adlnet.gov/expapi/activities/lesson" };
const lesson = new TinCan.Activity({ id: iri(), definition });
const verb = new TinCan.Verb({ id: iri(), display: { en: "practised" } });
let id;

function documentSteps(prefix, kind, where) {
  const [retrieve, list, store, drop] = [`retrieve${kind}`, `retrieve${kind}Ids`, `save${kind}`, `drop${kind}`];
  const json = { contentType: "application/json" };
  return {
    [`${prefix} written and read`]: async () => {
      await ask(store, "preferences", { level: 1, name: "é" }, { ...where, ...json });
      const found = await ask(retrieve, "preferences", where);
      assert.deepEqual(found.contents, { level: 1, name: "é" });
      assert.match(found.contentType, /^application\/json/);
    },
    [`${prefix} of text`]: async () => {
      await ask(store, "notes", "any text", { ...where, contentType: "text/plain" });
      const found = await ask(retrieve, "notes", where);
      assert.equal(found.contents, "any text");
      assert.match(found.contentType, /^text\/plain/);
    },
    [`${prefix} merged`]: async () => {
      const { etag } = await ask(retrieve, "preferences", where);
      await ask(store, "preferences", { theme: "dark" }, { ...where, ...json, method: "POST", lastSHA1: etag });
      const { contents } = await ask(retrieve, "preferences", where);
      assert.deepEqual(contents, { level: 1, name: "é", theme: "dark" });
    },
    [`${prefix} replaced by ETag`]: async () => {
      const { etag } = await ask(retrieve, "preferences", where);
      await ask(store, "preferences", { level: 2 }, { ...where, ...json, lastSHA1: etag });
      assert.deepEqual((await ask(retrieve, "preferences", where)).contents, { level: 2 });
      const stale = ask(store, "preferences", { level: 3 }, { ...where, ...json, lastSHA1: etag });
      assert.equal(await refusal(stale), 412);
      assert.deepEqual((await ask(retrieve, "preferences", where)).contents, { level: 2 });
    },
    [`${prefix} listed`]: async () => {
      assert.deepEqual((await ask(list, where)).sort(), ["notes", "preferences"]);
      assert.deepEqual(await ask(list, { ...where, since: "2099-01-01T00:00:00Z" }), []);
    },
    [`${prefix} deleted`]: async () => {
      for (const name of ["preferences", "notes"]) {
        await ask(drop, name, where);
        assert.equal(await ask(retrieve, name, where), null);
      }
      assert.deepEqual(await ask(list, where), []);
    },
  };
}

run({
  about: async () => {
    assert.deepEqual((await ask("about", {})).version, ["1.0.3", "2.0.0"]);
  },
  "wrong secret": async () => {
    assert.equal(await refusal(askOf(connect(given.key, "none"), "saveStatement", made(), {})), 401);
  },
  statement: async () => {
    id = await save({
      actor: agent,
      verb,
      object: lesson.asVersion(),
      context: { registration },
      result: { score: { scaled: 0.5 }, success: true, duration: "PT1M30S" },
      timestamp: "2026-11-20T09:30:00Z",
    });
  },
  "read by id": async () => {
    const found = await ask("retrieveStatement", id, {});
    assert.equal(found.id, id);
    assert.deepEqual(found.actor.asVersion(), agent.asVersion());
    assert.deepEqual(found.target.asVersion(), lesson.asVersion());
    assert.equal(found.verb.id, verb.id);
    assert.equal(found.context.registration, registration);
    const { score, success, duration } = found.result;
    assert.deepEqual([score.scaled, success, duration], [0.5, true, "PT1M30S"]);
    assert.equal(found.timestamp, "2026-11-20T09:30:00Z");
    assert.ok(found.stored && found.authority);
  },
  "statement of a chosen id": async () => {
    // With an id, the client PUTs.
    const chosen = made({ id: randomUUID() });
    await ask("saveStatement", chosen, {});
    await ask("saveStatement", chosen, {});
    assert.equal((await ask("retrieveStatement", chosen.id, {})).id, chosen.id);
    assert.equal(await refusal(ask("saveStatement", made({ id: chosen.id }), {})), 409);
  },
  "statement refused": async () => {
    assert.equal(await refusal(save({ result: { score: { raw: 11, min: 0, max: 10 } } })), 400);
  },
  batch: async () => {
    const actor = account();
    const answer = await ask("saveStatements", [made({ actor }), made({ actor }), made({ actor })], {});
    const sent = JSON.parse(answer.responseText);
    assert.equal(sent.length, 3);
    assert.deepEqual(await find({ agent: new TinCan.Agent(actor), ascending: true }), sent);
  },
  "query by agent": async () => {
    assert.deepEqual(await find({ agent }), [id]);
  },
  "query by verb": async () => {
    assert.deepEqual(await find({ verb }), [id]);
  },
  "query by activity": async () => {
    assert.deepEqual(await find({ activity: lesson }), [id]);
  },
  "query by registration": async () => {
    assert.deepEqual(await find({ registration }), [id]);
  },
  "query of everything": async () => {
    assert.deepEqual(await find({ agent, verb, activity: lesson, registration, format: "ids", limit: 10 }), [id]);
  },
  "query of related": async () => {
    const [instructor, course] = [account(), { id: iri() }];
    const sent = await save({ context: { instructor, contextActivities: { parent: [course] } } });
    assert.deepEqual(await find({ agent: new TinCan.Agent(instructor) }), []);
    assert.deepEqual(await find({ agent: new TinCan.Agent(instructor), related_agents: true }), [sent]);
    assert.deepEqual(await find({ activity: course.id }), []);
    assert.deepEqual(await find({ activity: course.id, related_activities: true }), [sent]);
  },
  "query since and until": async () => {
    const actor = account();
    const [one, two] = [await save({ actor }), await save({ actor })];
    const { stored } = await ask("retrieveStatement", one, {});
    assert.deepEqual(await find({ agent: new TinCan.Agent(actor), since: stored }), [two]);
    assert.deepEqual(await find({ agent: new TinCan.Agent(actor), until: stored }), [one]);
  },
  "more pages": async () => {
    const actor = account();
    const batch = await ask("saveStatements", [1, 2, 3, 4, 5].map(() => made({ actor })), {});
    const params = { agent: new TinCan.Agent(actor), limit: 2, ascending: true };
    let page = await ask("queryStatements", { params });
    const [found, sizes] = [ids(page), [page.statements.length]];
    while (page.more) {
      page = await ask("moreStatements", { url: page.more });
      found.push(...ids(page));
      sizes.push(page.statements.length);
    }
    assert.deepEqual(found, JSON.parse(batch.responseText));
    assert.deepEqual(sizes, [2, 2, 1]);
  },
  void: async () => {
    const wrong = await save();
    const object = { objectType: "StatementRef", id: wrong };
    await save({ actor: agent, verb: { id: "http://adlnet.gov/expapi/verbs/voided" }, object });
    assert.equal(await refusal(ask("retrieveStatement", wrong, {})), 404);
    assert.equal((await ask("retrieveVoidedStatement", wrong, {})).id, wrong);
  },
  ...documentSteps("state", "State", { agent, activity: lesson }),
  "state of a registration": async () => {
    const where = { agent, activity: lesson, registration };
    await ask("saveState", "bookmark", "page 3", where);
    assert.equal((await ask("retrieveState", "bookmark", where)).contents, "page 3");
    assert.deepEqual(await ask("retrieveStateIds", where), ["bookmark"]);
    assert.equal(await ask("retrieveState", "bookmark", { agent, activity: lesson }), null);
  },
  "states deleted": async () => {
    const where = { agent, activity: lesson };
    await ask("dropState", null, where);
    assert.deepEqual(await ask("retrieveStateIds", where), []);
    assert.deepEqual(await ask("retrieveStateIds", { ...where, registration }), []);
  },
  ...documentSteps("activity profile", "ActivityProfile", { activity: lesson }),
  ...documentSteps("agent profile", "AgentProfile", { agent }),
  activity: async () => {
    // The client makes up an activity of its own for 404, without definition.
    const found = await ask("retrieveActivity", lesson.id, {});
    assert.equal(found.id, lesson.id);
    assert.deepEqual(found.definition?.name, definition.name);
  },
  attachment: async () => {
    // Under Node, this client sends text only; what it gets back is bytes.
    const content = "Élève : 18/20\r\n\r\n— très bien\n";
    const sent = new TinCan.Attachment({
      usageType: "http://id.tincanapi.com/attachment/supporting_media",
      display: { en: "Copy" },
      contentType: "text/plain; charset=utf-8",
      content,
    });
    const stored = await save({ attachments: [sent] });
    const [got] = (await ask("retrieveStatement", stored, { params: { attachments: true } })).attachments;
    assert.deepEqual(Buffer.from(got.content), Buffer.from(content));
    assert.deepEqual(got.asVersion(), sent.asVersion());
  },
  "attachments in a query": async () => {
    const actor = account();
    const described = { usageType: iri(), display: { en: "Copy" }, contentType: "text/plain" };
    // This client writes no line break between two attachments: sent together, the two would be one.
    const sent = [];
    for (const content of ["first", "second"]) {
      sent.push(await save({ actor, attachments: [{ ...described, content }] }));
    }
    const params = { agent: new TinCan.Agent(actor), attachments: true, ascending: true };
    const { statements } = await ask("queryStatements", { params });
    assert.deepEqual(ids({ statements }), sent);
    const contents = statements.map((each) => each.attachments[0].getContentAsString());
    assert.deepEqual(contents, ["first", "second"]);
  },
});
