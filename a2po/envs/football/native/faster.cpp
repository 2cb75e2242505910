// Two functions for faster.cmake.

#include <cmath>

#include "onthepitch/AIsupport/AIfunctions.hpp"
#include "main.hpp"

namespace {

const int kTicks = 70, kLane = 8, kTick_ms = 10;  // for 700 ms he changes course; ticks are compared eight at a time
const unsigned int kNever = -1;

struct Path {
  Vector3 start, movement;
  float speed;
  int known = 0;                                          // ticks
  float x[kTicks + kLane] = {}, y[kTicks + kLane] = {};  // the lanes behind the last tick stay 0
  float reach[kTicks + kLane] = {}, far_reach[kTicks + kLane] = {};

  void Begin(const Vector3& from, const Vector3& along, float most) {
    if (known && start == from && movement == along && speed == most) return;
    start = from, movement = along, speed = most, known = 0;
  }

  void Extend(int ticks) {
    float now_x = known ? x[known - 1] : start.coords[0], now_y = known ? y[known - 1] : start.coords[1];
    float now_reach = known ? reach[known - 1] : 0.28f, now_far = known ? far_reach[known - 1] : 0.9f;
    for (; known < ticks; known++) {
      float bias = (float)(known * kTick_ms) / (float)(kTicks * kTick_ms);
      now_x += movement.coords[0] * (1.0f - bias) * kTick_ms * 0.001f;
      now_y += movement.coords[1] * (1.0f - bias) * kTick_ms * 0.001f;
      now_reach += speed * bias * kTick_ms * 0.001f;
      now_far += speed * bias * kTick_ms * 0.001f;
      x[known] = now_x, y[known] = now_y, reach[known] = now_reach, far_reach[known] = now_far;
    }
  }
};

const unsigned int kPoseBits = 14;  // 16,384 poses: 4 MB for an engine

}  // namespace

// The place of the pose halfway behind a frame of an animation; `known` says whether it is there already.
blunted::Pose* blunted::KeptPose(const void* animation, int frame) {
  auto& poses = GetContext().poses;
  if (poses.empty()) poses.resize(1 << kPoseBits);
  auto mixed = ((unsigned long long)animation / 16 * 512 + frame) * 0x9E3779B97F4A7C15ull;
  Pose& pose = poses[mixed >> (64 - kPoseBits)];
  if (pose.animation != animation || pose.frame != frame) {
    pose.animation = animation;
    pose.frame = frame;
    pose.known = false;
  }
  return &pose;
}

// When a player can be at a place, as the engine computes it, to the last bit. The engine asks for every player in every tick, for one
// place after the other on the ball's way. Where the player will be, should he let himself run out, and how far he reaches, does not
// depend on the place unless he stands; so both are computed once and compared with many places.
TimeNeeded AI_GetTimeNeededForDistance_ms(const Vector3& from, const Vector3& movement, const Vector3& to, float most, bool precise,
                                          unsigned int limit_ms) {
  TimeNeeded result;
  unsigned int rough_ms = int(std::round((to - (from + movement * 0.2f)).GetLength() / (most * 0.75f) * 1000));
  if ((from - to).GetLength() > (precise ? 48.0f : 16.0f)) {
    result.usual_ms = rough_ms;
    result.optimistic_ms = rough_ms - 200;
    return result;
  }
  Vector3 start = from;
  if (movement.GetLength() > idleDribbleSwitch) {
    start += movement.GetNormalized() * 0.1f;
    start += movement * 0.01f;
  } else {
    start += (to - from).GetNormalized(0) * 0.1f;
  }
  static thread_local Path path;
  path.Begin(start, movement, most * 0.94f);

  int ticks = limit_ms == kNever ? kTicks : std::min<unsigned int>(kTicks, limit_ms / kTick_ms + 1);
  int usual = -1, optimistic = -1;
  float height = to.coords[2] - start.coords[2], to_x = to.coords[0], to_y = to.coords[1];
  height *= height;
  for (int first = 0; first < ticks && usual < 0; first += kLane) {
    path.Extend(std::min(first + kLane, kTicks));
    bool is_there[kLane], may_be_there[kLane];
    bool any = false;
    for (int lane = 0; lane < kLane; lane++) {
      float dx = to_x - path.x[first + lane], dy = to_y - path.y[first + lane];
      float squared = dx * dx + dy * dy + height;
      is_there[lane] = squared < path.reach[first + lane] * path.reach[first + lane];
      may_be_there[lane] = squared < path.far_reach[first + lane] * path.far_reach[first + lane];
      any |= is_there[lane] | may_be_there[lane];
    }
    if (!any) continue;
    for (int lane = 0; lane < kLane && first + lane < ticks && usual < 0; lane++) {
      if (optimistic < 0 && may_be_there[lane]) optimistic = first + lane;
      if (is_there[lane]) usual = first + lane;
    }
  }

  float reach = 0.0f;
  unsigned int time_ms;
  if (usual >= 0) {
    time_ms = result.usual_ms = usual * kTick_ms;
    reach = path.reach[usual];
    if (optimistic >= 0) result.optimistic_ms = optimistic * kTick_ms;
  } else if (ticks < kTicks) {  // the limit is over
    time_ms = ticks * kTick_ms;
    if (optimistic < 0) optimistic = ticks;
    result.optimistic_ms = optimistic * kTick_ms;
  } else {  // from here on he runs straight at it
    path.Extend(kTicks);
    Vector3 last(path.x[kTicks - 1], path.y[kTicks - 1], start.coords[2]);
    time_ms = kTicks * kTick_ms;
    float rest = clamp((to - last).GetLength() - path.reach[kTicks - 1], 0.0f, 100000.0f);
    result.usual_ms = time_ms + (rest / path.speed) * 1000;
    reach = path.reach[kTicks - 1] + rest;
    float far_rest = clamp((to - last).GetLength() - path.far_reach[kTicks - 1], 0.0f, 100000.0f);
    result.optimistic_ms = optimistic < 0 ? time_ms + (far_rest / path.speed) * 1000 : optimistic * kTick_ms;
  }

  if (limit_ms != kNever && time_ms > limit_ms) {
    result.usual_ms = std::max(rough_ms, (time_ms + 100) * 2);
    if (optimistic < 0) result.optimistic_ms = result.usual_ms;
  } else if (result.usual_ms == 0) {  // he is there: the distance still tells one from another
    result.usual_ms = int(std::round(clamp((to - from).GetLength() / reach, 0.0f, 1.0f) * 10));
    result.optimistic_ms = result.usual_ms;
  }
  return result;
}
