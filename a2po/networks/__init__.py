"""Networks: actors and critics as stacks, distributions, normalisers, and the team that training sees."""

from __future__ import annotations

from a2po.lazy import lazy_names

_PUBLIC = {
    "Actor": "a2po.networks.actor",
    "Critic": "a2po.networks.critic",
    "MaskedCategorical": "a2po.networks.distributions",
    "PopArt": "a2po.networks.normalise",
    "QMixer": "a2po.networks.mixer",
    "RunningNorm": "a2po.networks.normalise",
    "TanhMeanGaussian": "a2po.networks.distributions",
    "TeamPolicy": "a2po.networks.team_policy",
    "ValueNorm": "a2po.networks.normalise",
}
__all__ = sorted(_PUBLIC)
__getattr__ = lazy_names(__name__, _PUBLIC)
