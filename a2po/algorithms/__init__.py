"""The mathematics: advantages, objectives, update rules, orders, and the learner that runs them."""
