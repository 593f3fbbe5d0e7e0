"""Agreement: against published figures, and on simulated people whose preferences are known."""

import numpy as np
import pytest

from pipeline.study import agreement, bootstrap
from pipeline.study.agreement import score_agreement
from pipeline.study.ranking import bradley_terry

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section D: 4 people, 12 things.
KNOWN = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
        [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan],
    ]
)


def test_published_figures() -> None:
    """Of the same data irrCAC (Gwet), version 1.0, gives these."""
    assert agreement.alpha(KNOWN) == pytest.approx(0.743421, abs=1e-5)
    assert agreement.alpha(KNOWN, level="ordinal") == pytest.approx(0.815388, abs=1e-4)
    assert agreement.ac2(KNOWN) == pytest.approx(0.77544, abs=1e-4)
    assert agreement.ac2(KNOWN, level="ordinal") == pytest.approx(0.89894, abs=1e-5)
    assert agreement.percent(KNOWN) == pytest.approx(0.818182, abs=1e-5)


def test_ac2_counts_the_answers_that_nobody_gave() -> None:
    """The figures of irrCAC with `categ.labels` 1 to 5, where nobody says 5, and 1 to 3 alone."""
    four = KNOWN[:, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]]
    three = np.minimum(KNOWN, 3)
    scale = range(1, 6)
    for ratings, nominal, ordinal in ((four, 0.75563, 0.89895), (three, 0.80191, 0.94701)):
        of = {"categories": scale}
        assert agreement.ac2(ratings, **of) == pytest.approx(nominal, abs=1e-5)
        assert agreement.ac2(ratings, level="ordinal", **of) == pytest.approx(ordinal, abs=1e-5)
        told = agreement.reliability(ratings, level="ordinal", **of).ac2
        assert told.value == pytest.approx(ordinal, abs=1e-5)
        assert told.low < told.value < told.high
        assert told.low > agreement.reliability(ratings, level="ordinal").ac2.low + 0.02
        used = agreement.reliability(ratings, level="ordinal")
        whole = agreement.reliability(ratings, level="ordinal", **of)
        assert (used.alpha.value, used.percent) == (whole.alpha.value, whole.percent)
        assert used.alpha.low == pytest.approx(whole.alpha.low)
    assert agreement.ac2(four, level="ordinal") == pytest.approx(0.82549, abs=1e-5)
    everybody = agreement.reliability(np.full((3, 9), 4.0), categories=scale, level="ordinal")
    assert everybody.ac2.value == 1 and np.isnan(everybody.ac2.low), "no resample differs"
    assert not everybody.alpha.known


def test_extremes() -> None:
    same = np.array([[1.0, 2, 1, 2], [1, 2, 1, 2]])
    assert [agreement.percent(same), agreement.alpha(same), agreement.ac2(same)] == [1, 1, 1]
    assert agreement.ac2(same, level="ordinal") == 1
    alone = np.array([[1.0, 2, np.nan], [np.nan, np.nan, 1]])
    constant = np.ones((3, 5))
    for figure in (agreement.alpha, agreement.ac2):
        assert np.isnan(figure(alone)) and np.isnan(figure(constant))
    assert np.isnan(agreement.percent(alone)) and agreement.percent(constant) == 1


def test_ordinal_weights_forgive_neighbours() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, 200)
    near = np.stack([truth, np.clip(truth + rng.integers(-1, 2, 200), 1, 5)]).astype(float)
    assert agreement.ac2(near, level="ordinal") > agreement.ac2(near) + 0.2


def test_a_score_is_held_against_the_majority() -> None:
    preference = np.array([1.0, 0.0, 2 / 3, 0.5, 1.0, 0.0, np.nan])
    difference = np.array([0.1, 0.2, 0.3, 0.4, np.nan, 0.0, 1.0])
    found = agreement.agrees(preference, difference)
    np.testing.assert_array_equal(found, [1, 0, 1, np.nan, np.nan, 0.5, np.nan])
    told = score_agreement(preference, difference, seed=0)
    assert (told.value, told.count) == (2.5 / 4, 4)
    nothing = score_agreement(preference[3:4], difference[3:4], seed=0)
    assert np.isnan(nothing.value) and nothing.count == 0


def people(rng: np.random.Generator, pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of which a score tells more the more it differs: share, difference, true agreement."""
    difference = rng.normal(size=pairs)
    right = 1 / (1 + np.exp(-2 * np.abs(difference)))
    agree = rng.random(pairs) < right
    return np.where(agree == (difference > 0), 1.0, 0.0), difference, right


def test_intervals_cover_the_truth_and_the_figure_is_not_biased() -> None:
    rng = np.random.default_rng(0)
    truth = people(rng, 400_000)[2].mean()
    told = [
        agreement.score_agreement(*people(rng, 150)[:2], seed=n) for n in range(120)
    ]  # fmt: skip
    assert np.mean([t.value for t in told]) == pytest.approx(truth, abs=0.012)
    covered = np.mean([t.low <= truth <= t.high for t in told])
    assert 0.88 <= covered <= 1.0


def test_agreement_grows_with_the_difference() -> None:
    share, difference, right = people(np.random.default_rng(1), 3000)
    steps = agreement.agreement_by_difference(share, difference, steps=5, seed=0)
    assert sum(step.agreement.count for step in steps) == 3000
    assert [s.low for s in steps[1:]] >= [s.high for s in steps[:-1]]
    for step in steps:
        here = (np.abs(difference) >= step.low) & (np.abs(difference) <= step.high)
        assert step.agreement.value == pytest.approx(right[here].mean(), abs=0.06)
        assert step.agreement.low < step.agreement.value < step.agreement.high


FEATURES, PAIRS, VOTES = 20, 60, 3


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_a_ranking_recovers_known_strengths(spread: float) -> None:
    rng = np.random.default_rng(2)
    covered, alike = [], []
    for _ in range(15):
        truth = rng.normal(size=FEATURES) * spread
        truth -= truth.mean()
        pairs = np.array([rng.choice(FEATURES, 2, replace=False) for _ in range(PAIRS)])
        chance = 1 / (1 + np.exp(-(truth[pairs[:, 0]] - truth[pairs[:, 1]])))
        wins = rng.binomial(VOTES, chance).astype(float)
        found = bradley_terry(pairs, wins, VOTES - wins, features=FEATURES)
        assert found.strength.mean() == pytest.approx(0, abs=1e-6)
        covered.append(((found.low <= truth) & (truth <= found.high)).mean())
        alike.append(np.corrcoef(truth, found.strength)[0, 1])
    assert np.mean(covered) > 0.82
    assert np.mean(alike) > {0.5: 0.5, 1.0: 0.75, 2.0: 0.85}[spread]


def test_who_always_wins_has_a_place() -> None:
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    found = bradley_terry(pairs, np.array([5.0, 5, 5]), np.zeros(3), features=4)
    assert np.isfinite(found.strength).all()
    assert found.strength[0] > found.strength[1] > found.strength[2]
    assert found.high[3] - found.low[3] > found.high[1] - found.low[1], "nobody judged it"
    halves = bradley_terry(pairs, np.full(3, 2.5), np.full(3, 2.5), features=4)
    np.testing.assert_allclose(halves.strength, 0, atol=1e-4)


def test_groups_that_no_pair_connects() -> None:
    pairs = np.array([[0, 1], [1, 2], [4, 5], [5, 4], [9, 7]])
    found = bradley_terry(pairs, np.ones(5), np.ones(5), features=12)
    assert found.groups == 3, "features in no pair are in no group"
    joined = bradley_terry(
        np.vstack([pairs, [[2, 4], [5, 7]]]), np.ones(7), np.ones(7), features=12
    )
    assert joined.groups == 1


def test_resamples_have_the_library_s_alpha() -> None:
    """The quick sums that intervals are drawn with are those of the figures themselves."""
    rng = np.random.default_rng(3)
    ratings = np.where(rng.random((4, 90)) < 0.7, rng.integers(1, 6, (4, 90)), np.nan)
    for level in ("nominal", "ordinal"):
        told = agreement.reliability(ratings, level=level)
        draws = []
        for _ in range(300):
            some = ratings[:, rng.integers(90, size=90)]
            draws.append([agreement.alpha(some, level=level), agreement.ac2(some, level=level)])
        for one, by_hand in zip((told.alpha, told.ac2), np.array(draws).T, strict=True):
            low, high = np.quantile(by_hand, [0.025, 0.975])
            assert (one.low, one.high) == pytest.approx((low, high), abs=0.04)
            assert one.low < one.value < one.high


def test_intervals_know_what_few_pairs_cannot_tell() -> None:
    """Ten of ten are no certainty: Clopper and Pearson's bound; of one item nothing is known."""
    assert bootstrap.share(np.ones(10), seed=0).low == pytest.approx(0.6915, abs=1e-3)
    assert bootstrap.share(np.zeros(10), seed=0).high == pytest.approx(0.3085, abs=1e-3)
    assert bootstrap.share(np.ones(1), seed=0).low < 0.05
    ten = bootstrap.share(np.array([0.0] * 3 + [1.0] * 7), seed=0)
    hundred = bootstrap.share(np.array([0.0] * 30 + [1.0] * 70), seed=0)
    assert ten.high - ten.low > 2.5 * (hundred.high - hundred.low)


def test_intervals_over_people_cover_the_truth() -> None:
    """Ten people repeat eight trials each, some steady and some not: pooled, 95 % intervals hold
    the truth in fewer than 85 %."""
    rng = np.random.default_rng(77)
    of, truth = np.full(10, 8), 2 / 3
    pooled, by_person = [], []
    for _ in range(400):
        yes = rng.binomial(of, rng.beta(2, 1, size=10))
        together = np.repeat([1.0, 0.0], [yes.sum(), of.sum() - yes.sum()])
        told = bootstrap.share(together, seed=0), bootstrap.by_person(yes, of, seed=0)
        assert told[0].value == told[1].value and told[1].count == 80
        pooled.append(told[0].low <= truth <= told[0].high)
        by_person.append(told[1].low <= truth <= told[1].high)
    assert np.mean(pooled) < 0.85 and 0.91 <= np.mean(by_person) <= 0.98


def test_few_people_have_a_share_and_no_interval() -> None:
    four = bootstrap.by_person(np.array([3, 1, 2, 2, 0]), np.array([4, 4, 4, 4, 0]), seed=0)
    assert (four.value, four.count) == (0.5, 16) and np.isnan(four.low) and np.isnan(four.high)
    same = bootstrap.by_person(np.full(6, 4), np.full(6, 4), seed=0)
    assert same.value == same.high == 1 and same.low == bootstrap.share(np.ones(6), seed=0).low
    assert not bootstrap.by_person(np.zeros(3, int), np.zeros(3, int), seed=0).known


def test_pairs_that_share_a_feature_tell_less() -> None:
    rng = np.random.default_rng(0)
    member = rng.random(12)
    pairs = np.array([(x, y) for x in range(12) for y in range(x)])
    tied = (rng.random(len(pairs)) < member[pairs].mean(1)).astype(float)
    tied = np.where(pairs.min(1) < 4, 1.0, tied)  # the first four are right, whomever they meet
    told = bootstrap.share(tied, seed=0)
    wide = bootstrap.widened(told, tied, pairs)
    assert wide.value == told.value
    assert wide.high - wide.low > 1.3 * (told.high - told.low)
    apart = np.arange(2 * len(pairs)).reshape(-1, 2)
    assert bootstrap.widened(told, tied, apart) == told
    off = tied - tied.mean()
    sharing = sum(
        off[a] * off[b]
        for a in range(len(pairs))
        for b in range(len(pairs))
        if {*pairs[a]} & {*pairs[b]}
    )
    assert told.value - wide.low == pytest.approx(
        np.sqrt(sharing / (off @ off)) * (told.value - told.low)
    )
