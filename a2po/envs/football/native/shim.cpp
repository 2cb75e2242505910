// The football engine behind C functions, so that ctypes can call it from any Python without its lock.
//
// One frame is a row of floats in the order of `frame_type` in frames.py; every number that the engine gives is a float32 or a small
// whole number, so nothing is lost. A game belongs to one thread at a time; several games may run in several threads.

#undef NDEBUG  // the engine's own checks stay on: a broken game must end, not go on

#include <signal.h>

#include <cstring>

#include "src/game_env.hpp"

namespace {

const int kPlayLimit = 1000;  // steps without play before the engine is called stuck; at most 21 were seen
const int kHeld = 20, kHeldLong = 30;  // steps out of play after which the game restarts itself, and turns the ball's owner round
const Action kSticky[] = {game_left,  game_top_left,     game_top,    game_top_right,   game_right,
                          game_bottom_right, game_bottom, game_bottom_left, game_sprint, game_dribble};

// What players have in mind of the last moments: a private member, which an explicit instantiation may name.
std::vector<MentalImage>& images(Match& match);
template <std::vector<MentalImage> Match::*member>
struct Open {
  friend std::vector<MentalImage>& images(Match& match) { return match.*member; }
};
template struct Open<&Match::mentalImages>;

struct Game : GameEnv {
  SharedInfo seen;
  std::string bytes;  // the newest state or picture, until the next
};

struct Entry {  // a player's place in the line-up, as in engine.py
  float x, y;
  int role, lazy, controllable;
};

struct Setup {  // as in engine.py
  float ball_x, ball_y, left_difficulty, right_difficulty;
  int left_players, right_players, left_agents, right_agents, duration, second_half;
  int offsides, magnet, deterministic, reverse;
  int end_on_score, end_on_out_of_play, end_on_possession_change;
  unsigned int seed;
  Entry players[2 * MAX_PLAYERS];
};

float* put(float* to, const Position& position, int count) {
  for (int i = 0; i < count; i++) *to++ = position.env_coord(i);
  return to;
}

float* put_team(float* to, const std::vector<PlayerInfo>& team) {
  for (auto& player : team) to = put(to, player.player_position, 2);
  for (auto& player : team) to = put(to, player.player_direction, 2);
  for (auto& player : team) *to++ = player.tired_factor;
  for (auto& player : team) *to++ = player.is_active;
  for (auto& player : team) *to++ = player.has_card;
  for (auto& player : team) *to++ = player.role;
  float* designated = to++;
  *designated = -1;
  for (size_t i = 0; i < team.size(); i++)
    if (team[i].designated_player) *designated = i;
  return to;
}

float* put_agents(float* to, Game* game, bool left) {
  auto& controllers = left ? game->seen.left_controllers : game->seen.right_controllers;
  int agents = left ? game->scenario_config.left_agents : game->scenario_config.right_agents;
  for (int i = 0; i < agents; i++) *to++ = controllers[i].controlled_player;
  for (int i = 0; i < agents; i++)
    for (Action action : kSticky) *to++ = game->sticky_action_state(action, left, i);
  return to;
}

bool look(Game* game, float* frame) {
  SetGame(game);
  game->seen = game->get_info();
  if (!frame) return game->seen.is_in_play;
  auto& seen = game->seen;
  frame = put(frame, seen.ball_position, 3);
  frame = put(frame, seen.ball_direction, 3);
  frame = put(frame, seen.ball_rotation, 3);
  frame = put_team(put_team(frame, seen.left_team), seen.right_team);
  for (int number : {seen.left_goals, seen.right_goals, int(seen.game_mode), seen.ball_owned_team, seen.ball_owned_player,
                     game->scenario_config.game_duration - seen.step})
    *frame++ = number;
  put_agents(put_agents(frame, game, true), game, false);
  return seen.is_in_play;
}

int play_on(Game* game, float* frame) {  // steps the engine until the ball is in play; 0 if it never is
  for (int steps = 1; steps <= kPlayLimit; steps++) {
    {
      ContextHolder holder(game);
      game->step();
    }
    if (look(game, frame)) return steps;
  }
  return 0;
}

int chosen(Game* game, int action, bool left, int agent) {  // the stock package's rule: whoever holds the game for too long does not
  int waited = game->waiting_for_game_count;
  if (waited < kHeld) return action;
  if (waited == kHeld) return game_short_pass;
  auto& seen = game->seen;
  auto& controllers = left ? seen.left_controllers : seen.right_controllers;
  bool owner = seen.ball_owned_team == (left ? 0 : 1) && controllers[agent].controlled_player == seen.ball_owned_player;
  if (!owner) return game_idle;
  return (waited < kHeldLong) != left ? game_left : game_right;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Game* football_open(int physics_steps, int width, int height, int render) {
  Game* game = new Game();
  game->game_config.physics_steps_per_frame = physics_steps;
  game->game_config.render_resolution_x = width;
  game->game_config.render_resolution_y = height;
  game->game_config.render = render;
  struct sigaction before;
  sigaction(SIGSEGV, nullptr, &before);  // the engine puts its own handler in place of Python's
  game->start_game();
  sigaction(SIGSEGV, &before, nullptr);
  game->state = game_running;
  return game;
}

EXPORT int football_reset(Game* game, const Setup* setup, float* frame) {
  auto scenario = ScenarioConfig::make();
  const Entry* entry = setup->players;
  for (auto team : {&scenario->left_team, &scenario->right_team})
    for (int i = 0; i < (team == &scenario->left_team ? setup->left_players : setup->right_players); i++, entry++)
      team->push_back(FormationEntry(entry->x, entry->y, e_PlayerRole(entry->role), entry->lazy, entry->controllable));
  scenario->ball_position.SetEnvCoord(0, setup->ball_x);
  scenario->ball_position.SetEnvCoord(1, setup->ball_y);
  scenario->left_team_difficulty = setup->left_difficulty;
  scenario->right_team_difficulty = setup->right_difficulty;
  scenario->left_agents = setup->left_agents;
  scenario->right_agents = setup->right_agents;
  scenario->game_duration = setup->duration;
  scenario->second_half = setup->second_half;
  scenario->offsides = setup->offsides;
  scenario->use_magnet = setup->magnet;
  scenario->deterministic = setup->deterministic;
  scenario->reverse_team_processing = setup->reverse;
  scenario->end_episode_on_score = setup->end_on_score;
  scenario->end_episode_on_out_of_play = setup->end_on_out_of_play;
  scenario->end_episode_on_possession_change = setup->end_on_possession_change;
  scenario->game_engine_random_seed = setup->seed;
  {
    ContextHolder holder(game);
    game->context->step = -1;
    GetTracker()->setDisabled(true);
    game->reset(*scenario, game->game_config.render);
    GetTracker()->setDisabled(false);
  }
  return look(game, frame) || play_on(game, frame);
}

EXPORT int football_step(Game* game, const int* actions, float* frame) {
  for (bool left : {true, false})
    for (int i = 0; i < (left ? game->scenario_config.left_agents : game->scenario_config.right_agents); i++)
      game->action(chosen(game, *actions++, left, i), left, i);
  int steps = play_on(game, frame);
  game->waiting_for_game_count = game->seen.game_mode == e_GameMode_Normal ? 0 : game->waiting_for_game_count + 1;
  return steps;
}

EXPORT long football_save(Game* game) {  // the size of what football_take gives
  game->bytes = game->get_state("");
  return game->bytes.size();
}

EXPORT void football_restore(Game* game, const char* bytes, long size, float* frame) {
  game->set_state(std::string(bytes, size));
  // Into a game that has just begun, the engine restores these turned round where the right team is processed first.
  for (auto& image : images(*game->context->gameTask->GetMatch()))
    if (image.ballPredictions_mirrored) image.Mirror(false, false, true);
  look(game, frame);
}

EXPORT long football_render(Game* game) {  // the size of what football_take gives
  ContextHolder holder(game);
  game->render(true);
  game->bytes = game->get_frame();
  return game->bytes.size();
}

EXPORT void football_take(Game* game, char* to) { memcpy(to, game->bytes.data(), game->bytes.size()); }
EXPORT int football_sticky(Game* game, int action, int left, int agent) { return game->sticky_action_state(action, left, agent); }
EXPORT int football_waited(Game* game) { return game->waiting_for_game_count; }
