"""Ranking strategies: from evidence to scores. They do not import each other."""

from typing import Annotated

from pydantic import Field

from modelperf_plugin.policy.ranking.base import Explanation, RankingStrategy, Score
from modelperf_plugin.policy.ranking.posterior import Posterior
from modelperf_plugin.policy.ranking.success_rate import SuccessRate

AnyRanking = Annotated[Posterior | SuccessRate, Field(discriminator="strategy")]

__all__ = ["AnyRanking", "Explanation", "Posterior", "RankingStrategy", "Score", "SuccessRate"]
