// node replay.mjs BUNDLE RECORDING: feeds what record.py wrote to the actors again and compares the actions.
// Prints one line. Exit code 0: all are the same; 1: some are not; 2: the bundle or the recording cannot be used.

import { readFile } from 'node:fs/promises';
import { Team } from './team.mjs';

const TOLERANCE = 1e-5; // of continuous actions, relative beyond 1; discrete ones must be equal
const ARRAYS = { F32: Float32Array, I64: BigInt64Array, BOOL: Uint8Array };

// A safetensors file: 8 bytes with the length of a JSON header, the header, and the numbers as they lie in memory.
async function readTensors(path) {
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const { __metadata__, ...entries } = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(entries)) {
    const content = bytes.subarray(8 + length + begin, 8 + length + end);
    tensors[name] = { shape, data: new ARRAYS[dtype](Uint8Array.from(content).buffer) };
  }
  return tensors;
}

// What an agent had at step t: the first `size` numbers of [T, N, width], or the one of [T, N].
function at({ shape: [, agents, width = 1], data }, t, agent, size = 1) {
  const begin = (t * agents + agent) * width;
  return data.subarray(begin, begin + size);
}

function difference(action, recorded) {
  if (typeof action === 'number') return action === Number(recorded[0]) ? 0 : Infinity;
  return Math.max(...action.map((value, index) => Math.abs(value - recorded[index]) / Math.max(1, Math.abs(recorded[index]))));
}

// Throws where the recording has no steps, or is that of another team.
function checkFits({ manifest, agents }, tensors) {
  const [steps, recorded, width] = tensors.obs.shape;
  const widest = Math.max(...Object.values(agents).map(({ observation }) => observation.size));
  if (!steps || recorded !== manifest.task.agents.length || width < widest) {
    throw new Error(`the recording has ${steps} steps of ${recorded} agents that see ${width} numbers: it is not this team's`);
  }
}

async function replay(bundle, recording) {
  const team = await Team.load(bundle);
  const tensors = await readTensors(recording);
  checkFits(team, tensors);
  const steps = tensors.begun.data.length;
  const [agents, wrong] = [Object.entries(team.agents), []];
  let [worst, episodes] = [0, 0];
  for (let t = 0; t < steps; t += 1) {
    if (tensors.begun.data[t]) {
      team.reset();
      episodes += 1;
    }
    const [obs, masks, noise] = [{}, {}, {}];
    for (const [name, { index, observation, action }] of agents) {
      obs[name] = at(tensors.obs, t, index, observation.size);
      if (tensors.action_mask) masks[name] = at(tensors.action_mask, t, index, action.size);
      if (tensors.noise) noise[name] = at(tensors.noise, t, index, action.size);
    }
    const actions = await team.act(obs, { masks, noise });
    for (const [name, { index, action }] of agents) {
      const recorded = at(tensors.action, t, index, action.kind === 'discrete' ? 1 : action.size);
      const error = difference(actions[name], recorded);
      if (error <= TOLERANCE) worst = Math.max(worst, error);
      else wrong.push(`step ${t}, ${name}: ${actions[name]}, recorded ${recorded}`);
    }
  }
  const what = `${steps} steps of ${agents.length} agents, ${episodes} episodes, ${tensors.noise ? 'sampled' : 'greedy'} actions`;
  const verdict = wrong.length ? `${wrong.length} differ; the first: ${wrong[0]}` : `all the same, largest difference ${worst.toExponential(1)}`;
  console.log(`${what}: ${verdict}`);
  return wrong.length ? 1 : 0;
}

const [bundle, recording] = process.argv.slice(2);
if (!recording) {
  console.error('usage: node replay.mjs BUNDLE RECORDING');
  process.exit(2);
}
try {
  process.exitCode = await replay(bundle, recording);
} catch (error) {
  console.error(`replay.mjs: ${error.message}`);
  process.exitCode = 2;
}
