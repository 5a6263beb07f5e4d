// SPDX-License-Identifier: AGPL-3.0-or-later
// The benchmark charts for XState, state by state as in ../charts.
import { assign, setup } from 'xstate';

const wheel = (n) => {
  const on = (target) => ({ on: { [`turn.${n}`]: target, 'turn.all': target } });
  const [x, y, z] = ['x', 'y', 'z'].map((s) => `w${n}${s}`);
  return { initial: x, states: { [x]: on(y), [y]: on(z), [z]: on(x) } };
};

const parallel4 = () =>
  setup({}).createMachine({ id: 'wheels', type: 'parallel', states: { w1: wheel(1), w2: wheel(2), w3: wheel(3), w4: wheel(4) } });

export const machines = {
  toggle: () =>
    setup({}).createMachine({ id: 'toggle', initial: 'dark', states: { dark: { on: { press: 'lit' } }, lit: { on: { press: 'dark' } } } }),

  lifecycle: () =>
    setup({}).createMachine({
      id: 'lifecycle',
      initial: 'gone',
      states: {
        gone: { on: { create: 'created' } },
        created: { on: { start: 'alive', remove: 'gone' } },
        alive: {
          initial: 'booting',
          on: { exited: 'ended', kill: 'killed' },
          states: {
            booting: { on: { ready: 'serving', stop: 'halting' } },
            serving: {
              initial: 'unprobed',
              on: { pause: 'frozen', stop: 'halting' },
              states: {
                unprobed: { on: { 'probe.ok': 'healthy', 'probe.fail': 'sick' } },
                healthy: { on: { 'probe.fail': 'sick' } },
                sick: { on: { 'probe.ok': 'healthy', restart: '#lifecycle.alive.booting' } },
              },
            },
            frozen: { on: { resume: 'serving', stop: 'halting' } },
            halting: { on: { timeout: '#lifecycle.killed' } },
          },
        },
        ended: { on: { restart: 'alive.booting', remove: 'gone' } },
        killed: { on: { remove: 'gone' } },
      },
    }),

  'parallel4-one': parallel4,
  'parallel4-all': parallel4,

  guard: () =>
    setup({ guards: { below: ({ context }) => context.n < 9 } }).createMachine({
      id: 'guard',
      initial: 'up',
      context: { n: 0 },
      states: {
        up: {
          on: {
            tick: [
              { guard: 'below', target: 'up', reenter: true, actions: assign({ n: ({ context }) => context.n + 1 }) },
              { target: 'again', actions: assign({ n: 0 }) },
            ],
          },
        },
        again: {
          on: {
            tick: [
              { guard: 'below', target: 'again', reenter: true, actions: assign({ n: ({ context, event }) => context.n + event.data }) },
              { target: 'up', actions: assign({ n: 0 }) },
            ],
          },
        },
      },
    }),
};
