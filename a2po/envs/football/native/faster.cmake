# Edits of the engine's sources, made on a copy in the build folder before it is compiled: work that changes nothing is not done again.
# Every game stays the same in every bit. The engine is by Bastiaan Konings (public domain) and Google (Apache License 2.0).

file(REMOVE_RECURSE ${CMAKE_BINARY_DIR}/engine)
file(COPY ${ENGINE}/src ${ENGINE}/sources.cmake DESTINATION ${CMAKE_BINARY_DIR}/engine)
set(ENGINE ${CMAKE_BINARY_DIR}/engine)

function(edit file old new)  # replaces what must be there exactly once
  file(READ ${ENGINE}/src/${file} text)
  string(FIND "${text}" "${old}" first)
  string(FIND "${text}" "${old}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "faster.cmake: ${file} is not that of gfootball 2.10.2: ${old}")
  endif()
  string(REPLACE "${old}" "${new}" text "${text}")
  file(WRITE ${ENGINE}/src/${file} "${text}")
endfunction()

# 1. A node whose places all wait to be computed need not be told again, nor any below it. `waiting` says so; whoever computes one takes
# the mark from all above. A player's skeleton was told at each of some seven turns of the pitch per tick.
edit(types/spatial.hpp "      mutable AABBCache aabb;" "      mutable AABBCache aabb;\n      mutable bool waiting = false;\n      void Computed() const;")
edit(types/spatial.cpp "  void Spatial::InvalidateBoundingVolume() {" [=[
  void Spatial::Computed() const {
    waiting = false;
    for (const Node *node = parent; node && node->waiting; node = node->parent) node->waiting = false;
  }

  void Spatial::InvalidateBoundingVolume() {]=])
foreach(what Position Rotation Scale)
  edit(types/spatial.cpp "_dirty_Derived${what} = false;" "_dirty_Derived${what} = false; Computed();")
endforeach()
edit(scene/scene3d/node.cpp "aabb.dirty = false;\n      aabb.aabb = tmp;" "aabb.dirty = false; Computed();\n      aabb.aabb = tmp;")
edit(scene/objects/geometry.cpp "aabb.dirty = false;" "aabb.dirty = false; Computed();")
edit(scene/objects/light.cpp "aabb.dirty = false;" "aabb.dirty = false; Computed();")
edit(scene/scene3d/node.cpp "    InvalidateSpatialData();" "    if (waiting) return;\n    waiting = true;\n    InvalidateSpatialData();")

# 2. The pose halfway between two frames of an animation is always the same, and every player asks for one in every tick. The last ones of
# every engine are kept (faster.cpp). None is asked for before all animations are complete.
edit(utils/animation.hpp "  struct NodeAnimation {" [=[
  struct Pose {
    const void *animation = nullptr;
    int frame = 0;
    bool known = false;
    Vector3 position;  // of the player; joints have none
    Quaternion orientation[body_part_max];
  };
  Pose *KeptPose(const void *animation, int frame);

  struct NodeAnimation {]=])
edit(main.hpp "  BiasedOffsets emptyOffsets;" "  BiasedOffsets emptyOffsets;\n  std::vector<Pose> poses;")
edit(utils/animation.cpp "    //int futureFrameOffset = 1;" [=[
    Pose *pose = timeOffset_ms == -1 && nodeAnimations.size() <= body_part_max ? KeptPose(this, frame) : nullptr;
    const bool known = pose && pose->known;
    if (pose) pose->known = true;
    int joint = -1;
    //int futureFrameOffset = 1;]=])
edit(utils/animation.cpp "      GetInterpolatedValues(nodeAnimation->animation, frame, orientation_pre , position_pre);" [=[
      joint++;
      if (known) {
        orientation = pose->orientation[joint];
        if (nodeAnimation->nodeName == player) position = pose->position;
      } else {
      GetInterpolatedValues(nodeAnimation->animation, frame, orientation_pre , position_pre);]=])
edit(utils/animation.cpp "      position = position_pre * (1.0f - bias) + position_post * bias;" [=[
      position = position_pre * (1.0f - bias) + position_post * bias;
      if (pose) {
        pose->orientation[joint] = orientation;
        if (nodeAnimation->nodeName == player) pose->position = position;
      }
      }]=])

# 3. What depends on the frame alone is computed once per player, not once per joint.
set(begin_bias [=[float beginBias =
            std::pow(curve(1.0f - NormalizedClamp(frame, 0, 8), 1.0f), 0.5f);]=])
edit(utils/animation.cpp "        ${begin_bias}" "")
edit(utils/animation.cpp "    //int futureFrameOffset = 1;" "    const ${begin_bias}")

# 4. To turn the pitch round, the ball's 400 past and 400 coming places are marked, and turned when one is read.
edit(onthepitch/ball.hpp "      return predictions[index];" "      return Turned(predictions[index]);")
edit(onthepitch/ball.hpp "    std::list<Vector3> ballPosHistory;" [=[
    std::list<Vector3> ballPosHistory;
    bool turned = false;  // predictions and history are stored the other way round
    Vector3 Turned(Vector3 place) const {
      if (turned) place.Mirror();
      return place;
    }
    void TurnBack() {
      if (turned) {
        for (auto &place : predictions) place.Mirror();
        for (auto &place : ballPosHistory) place.Mirror();
        turned = false;
      }
    }]=])
edit(onthepitch/ball.cpp "  for (auto &a : predictions) {\n    a.Mirror();\n  }\n  for (auto &a : ballPosHistory) {\n    a.Mirror();\n  }" "  turned = !turned;")
edit(onthepitch/ball.cpp "    target[x] = predictions[x];" "    target[x] = Turned(predictions[x]);")
edit(onthepitch/ball.cpp "    averageVec += *iter;" "    averageVec += Turned(*iter);")
edit(onthepitch/ball.cpp "  Vector3 newMomentum;" "  TurnBack();\n  Vector3 newMomentum;")
edit(onthepitch/ball.cpp "  ballPosHistory.push_back(positionBuffer);" "  TurnBack();\n  ballPosHistory.push_back(positionBuffer);")
edit(onthepitch/ball.cpp "  momentum = Vector3(0);" "  TurnBack();\n  momentum = Vector3(0);")
edit(onthepitch/ball.cpp "  state->process(momentum);" "  TurnBack();\n  state->process(momentum);")
edit(onthepitch/AIsupport/mentalimage.hpp "  bool ballPredictions_mirrored = false;" [=[
  bool ballPredictions_mirrored = false;
  bool turned = false;  // they are stored the other way round]=])
edit(onthepitch/AIsupport/mentalimage.cpp "    for (auto& i : ballPredictions) {\n      i.Mirror();\n    }" "    turned = !turned;")
edit(onthepitch/AIsupport/mentalimage.cpp "  match->GetBall()->GetPredictionArray(ballPredictions);"
  "  match->GetBall()->GetPredictionArray(ballPredictions);\n  turned = false;")
edit(onthepitch/AIsupport/mentalimage.cpp "  Vector3 mentalResult = ballPredictions[index];"
  "  Vector3 mentalResult = ballPredictions[index];\n  if (turned) mentalResult.Mirror();")
edit(onthepitch/AIsupport/mentalimage.cpp "  size = ballPredictions.size();" [=[
  if (turned)
    for (auto& place : ballPredictions) place.Mirror();
  turned = false;
  size = ballPredictions.size();]=])

# 5. Whoever looks for an animation looks at the kinds of 1,000 of them: they lie side by side.
edit(onthepitch/player/humanoid/animcollection.hpp "    std::vector<Animation*> animations;"
  "    std::vector<Animation*> animations;\n    std::vector<e_DefString> kinds;  // of the animations")
edit(onthepitch/player/humanoid/animcollection.cpp "  int animSize = animations.size();\n\n  for (int i = 0; i < animSize; i++) {\n    DO_VALIDATION;\n\n    e_DefString animType = animations[i]->GetAnimType();" [=[
  int animSize = animations.size();
  if (int(kinds.size()) != animSize) {
    kinds.clear();
    for (auto animation : animations) kinds.push_back(animation->GetAnimType());
  }
  for (int i = 0; i < animSize; i++) {
    e_DefString animType = kinds[i];]=])

# 6. When somebody can be at the ball is computed anew in faster.cpp.
edit(onthepitch/AIsupport/AIfunctions.cpp "TimeNeeded AI_GetTimeNeededForDistance_ms(const Vector3 &playerPos," "static TimeNeeded not_used(const Vector3 &playerPos,")
