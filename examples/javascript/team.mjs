// The actors of an a2po bundle: a team that plays in JavaScript. Copy this file into your game.
//
//   const team = await Team.load('runs/mine/bundle');
//   team.reset();                                            // whenever an episode begins
//   const actions = await team.act({ marine_0: obs0, ... }, { masks: { marine_0: mask0, ... } });
//
// What manifest.json says and what every port means: docs/languages.md of a2po.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';

ort.env.wasm.numThreads = 1; // an actor is too small to be shared between threads

const FORMAT = 2;

export class Team {
  constructor(manifest, sessions) {
    this.manifest = manifest;
    this.agents = manifest.agents; // name -> {file, row, observation, action, state, inputs, outputs}
    this.sessions = sessions; // file -> session: agents with the same numbers share one
    this.reset();
  }

  static async load(folder) {
    const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
    if (manifest.format !== FORMAT) throw new Error(`bundle format ${manifest.format}: this file reads ${FORMAT}`);
    const files = new Set(Object.values(manifest.agents).map((agent) => agent.file));
    if (files.has(null)) throw new Error(`'${folder}' holds no ONNX files: export it with --format onnx or all`);
    const sessions = {};
    for (const file of files) {
      const content = await readFile(join(folder, file));
      const sha256 = createHash('sha256').update(content).digest('hex');
      if (sha256 !== manifest.files[file].sha256) throw new Error(`${file} was altered: its SHA-256 is not the manifest's`);
      sessions[file] = await ort.InferenceSession.create(content, { executionProviders: ['wasm'] });
    }
    return new Team(manifest, sessions);
  }

  // Forget what recurrent actors remember: an episode begins. Their memory begins with zeros.
  reset() {
    this.state = {};
    for (const [name, { state }] of Object.entries(this.agents)) {
      this.state[name] = new Float32Array(state.num_layers * state.hidden_size);
    }
  }

  // One step. obs: agent -> Float32Array [O]. masks: agent -> Uint8Array [A], 1 where an action is legal; all are without it.
  // noise: agent -> Float32Array [A]; without it the actions are greedy. Returns agent -> a number, or Float32Array [A].
  async act(obs, { masks = {}, noise = {} } = {}) {
    const actions = {};
    for (const name of Object.keys(obs)) actions[name] = await this.actOne(name, obs[name], masks[name], noise[name]);
    return actions;
  }

  async actOne(name, obs, mask, noise) {
    const { file, row, action, state, inputs } = this.agents[name];
    const discrete = action.kind === 'discrete';
    if (noise && !inputs.includes('noise')) throw new Error(`agent '${name}' takes no noise: export the bundle with --noise`);
    const tensors = {
      obs: () => new ort.Tensor('float32', obs, [1, obs.length]),
      action_mask: () => new ort.Tensor('bool', mask ?? new Uint8Array(action.size).fill(1), [1, action.size]),
      state_in: () => new ort.Tensor('float32', this.state[name], [1, state.num_layers, state.hidden_size]),
      agent: () => new ort.Tensor('int32', Int32Array.of(row), [1]),
      // Neutral noise: of all actions the same.
      noise: () => new ort.Tensor('float32', noise ?? new Float32Array(action.size).fill(discrete ? 0.5 : 0), [1, action.size]),
    };
    const feeds = Object.fromEntries(inputs.map((port) => [port, tensors[port]()]));
    const outputs = await this.sessions[file].run(feeds);
    if (outputs.state_out) this.state[name] = outputs.state_out.data;
    return discrete ? Number(outputs.action.data[0]) : outputs.action.data;
  }
}
