"""Sharing evidence between task types: an empirical-Bayes prior for every (task type, model).

The log-odds of success of model *m* on task type *t* are modelled as

    logit p[t,m] = μ + a[m] + b[t] + e[t,m],   a ~ N(0, σa²), b ~ N(0, σb²), e ~ N(0, σe²):

how good models are, how hard task types are, and what is specific to a pair. A model with a prior from elsewhere has
a[m] ~ N(logit(s) − μ, 1/(k s (1 − s))) instead: success rate s, known as well as from k outcomes.

:class:`Pool` estimates μ, the a, the b and the three variances from all cells, row by row. :class:`TaskBeliefs` then
gives each candidate of a task type a Beta posterior: its own outcomes, on a prior that leaves them out, so that nothing
counts twice. The difficulty of the task type (b) is updated with every outcome, so that it is never stale.

Sources: P. McCullagh and J. Nelder, "Generalized Linear Models" (working response, iterative weighting);
N. Breslow and D. Clayton, "Approximate inference in generalized linear mixed models", 1993; G. Casella, "An
introduction to empirical Bayes data analysis", 1985; Y. Saad, "Iterative Methods for Sparse Linear Systems", 2003
(Gauss-Seidel). Standard library only; no step takes longer than O(cells of one task type).
"""

from modelperf_plugin.policy.pooling.beliefs import (
    MAX_STRENGTH,
    MIN_STRENGTH,
    NO_LATER,
    SWEEPS,
    Equivalent,
    LaterRow,
    TaskBeliefs,
)
from modelperf_plugin.policy.pooling.pool import Cell, FitRow, ModelPrior, Pool, Priors
from modelperf_plugin.policy.pooling.spread import SpreadFit
from modelperf_plugin.policy.pooling.sums import PackedRows, RowSums

__all__ = [
    "MAX_STRENGTH", "MIN_STRENGTH", "NO_LATER", "SWEEPS", "Cell", "Equivalent", "FitRow", "LaterRow", "ModelPrior",
    "PackedRows", "Pool", "Priors", "RowSums", "SpreadFit", "TaskBeliefs",
]  # fmt: skip
