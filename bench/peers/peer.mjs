// SPDX-License-Identifier: AGPL-3.0-or-later
// Answers, a line of JSON each, what kernelbench asks on standard input:
// {"op":"run","chart":…,"events":[…],"data":…,"source":…,"count":N} and the same
// with "idle" and "snapshot". Run as: node --expose-gc peer.mjs scion|xstate
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const engines = {
  async scion() {
    const scxml = createRequire(import.meta.url)('@scion-scxml/scxml');
    const models = new Map();
    const model = (source) =>
      new Promise((resolve, reject) => {
        if (models.has(source)) return resolve(models.get(source));
        scxml.documentStringToModel('chart.scxml', source, (err, m) => {
          if (err) return reject(err);
          m.prepare((err, fn) => {
            if (err) return reject(err);
            models.set(source, fn);
            resolve(fn);
          });
        });
      });
    return {
      async make(q) {
        const fn = await model(q.source);
        return () => {
          const s = new scxml.core.Statechart(fn);
          s.start();
          return s;
        };
      },
      event: (name, data) => ({ name, data }),
      send: (s, e) => s.gen(e),
      configuration: (s) => s.getConfiguration(),
      async restorer(q) {
        const fn = await model(q.source);
        return {
          take: (s) => JSON.stringify(s.getSnapshot()),
          // start() would enter the initial states again.
          restore: (text) => new scxml.core.Statechart(fn, { snapshot: JSON.parse(text) }),
        };
      },
    };
  },

  async xstate() {
    const { createActor } = await import('xstate');
    const { machines } = await import('./machines.mjs');
    const leaves = (value, out = []) => {
      if (typeof value === 'string') out.push(value);
      else for (const [k, v] of Object.entries(value)) Object.keys(v).length === 0 ? out.push(k) : leaves(v, out);
      return out;
    };
    return {
      async make(q) {
        const machine = machines[q.chart]();
        return () => createActor(machine).start();
      },
      event: (name, data) => ({ type: name, data }),
      send: (s, e) => s.send(e),
      configuration: (s) => leaves(s.getSnapshot().value),
      async restorer(q) {
        const machine = machines[q.chart]();
        return {
          take: (s) => JSON.stringify(s.getPersistedSnapshot()),
          restore: (text) => createActor(machine, { snapshot: JSON.parse(text) }).start(),
        };
      },
    };
  },
};

const engine = await engines[process.argv[2]]();

const operations = {
  // Deliver events for about q.ms of processor time.
  async run(q) {
    const s = (await engine.make(q))();
    const events = q.events.map((e) => engine.event(e, q.data));
    const deadline = q.ms * 1000;
    const before = process.cpuUsage();
    const wall = process.hrtime.bigint();
    let n = 0;
    let spent = 0;
    do {
      for (let i = 0; i < 300; i++, n++) engine.send(s, events[n % events.length]);
      const u = process.cpuUsage(before);
      spent = u.user + u.system;
    } while (spent < deadline);
    return { count: n, cpu_us: spent, wall_us: Number((process.hrtime.bigint() - wall) / 1000n), configuration: engine.configuration(s) };
  },

  // Heap growth over q.count sessions after the start and q.steps events.
  async idle(q) {
    const make = await engine.make(q);
    const events = q.events.map((e) => engine.event(e, q.data));
    const all = new Array(q.count);
    for (let i = 0; i < 100; i++) engine.send(make(), events[0]);
    globalThis.gc();
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < q.count; i++) {
      const s = make();
      for (let k = 0; k < q.steps; k++) engine.send(s, events[k % events.length]);
      all[i] = s;
    }
    globalThis.gc();
    globalThis.gc();
    const bytes = (process.memoryUsage().heapUsed - before) / q.count;
    return { bytes, configuration: engine.configuration(all[0]) };
  },

  async snapshot(q) {
    const s = (await engine.make(q))();
    for (let k = 0; k < q.steps; k++) engine.send(s, engine.event(q.events[k % q.events.length], q.data));
    const { take, restore } = await engine.restorer(q);
    const cpu = (n, f) => {
      for (let i = 0; i < n; i++) f();
      const before = process.cpuUsage();
      for (let i = 0; i < n; i++) f();
      const u = process.cpuUsage(before);
      return (u.user + u.system) / n;
    };
    const text = take(s);
    const takeMicros = cpu(20000, () => take(s));
    const restoreMicros = cpu(1000, () => restore(text));
    return { take_us: takeMicros, restore_us: restoreMicros, bytes: Buffer.byteLength(text), configuration: engine.configuration(restore(text)) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const q = JSON.parse(line);
  try {
    console.log(JSON.stringify(await operations[q.op](q)));
  } catch (err) {
    console.log(JSON.stringify({ error: String(err?.stack ?? err) }));
  }
}
