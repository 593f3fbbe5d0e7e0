"""The explanations on Results."""

STUDY = "A study whose results you may see."
SCORE = (
    "What is held against people: numeric columns of the bundle's features as they were when the "
    "study was created, MS by each encoder, and what you bring."
)
FAILURES = (
    "Leave out people who failed a larger share of their trials with a known answer. A tie, "
    "the wrong side, image or text, or a rating that is two off, is a failure; a skip is none. "
    "Who was never checked stays."
)
BRING = (
    "CSV in UTF-8: a column `feature` with MODEL/HOOK/DICTIONARY:FEATURE, or the number alone "
    "where only one feature of the study has it; every other column is a score. It stays in this "
    "visit and is not kept."
)
EVERYBODY = "everybody"
VOTES = "Judgements that count: no practice, checks, repetitions, skips, or answers taken back."
SKIPS = "Trials that were skipped, checks and repetitions among them: who skips a check fails none."
PROGRESS = "Of the votes that the study wants, those that it has."
PEOPLE = "People whose votes count here, of all who answered anything."
CHECKS = "Trials with a known answer that were answered wrongly, of everybody."
REPEATS = (
    "What was shown again, pairs with their sides swapped, and judged exactly as before, of "
    "everybody. The 95 % interval is by bootstrap over people; of fewer than 5 there is none."
)
PERCENT = (
    "The share of pairs of people that say the same, or take the same image for the intruder, "
    "averaged over what two or more judged."
)
ALPHA = (
    "Krippendorff's alpha: 1 is perfect agreement, 0 what chance gives. Low where nearly everybody "
    "gives one answer, however much they agree."
)
AC2 = (
    "Gwet's AC2: corrected for chance too, over all answers that the scale has, and less swayed "
    "where one answer is rare."
)
MEDIAN = "From the first sight of a trial to the answer, as the browser measured it."
AGREEMENT = (
    "Of the pairs on which people are not evenly divided, the share in which the score prefers "
    "what most people prefer; a tie is half a vote for each side. Equal scores count half. "
    "Intervals are 95 %, by bootstrap over pairs."
)
DIFFERENCE = (
    "The same in steps of about as many pairs each, from pairs of nearly equal scores to pairs "
    "whose scores differ most; the dashed line is chance. A score that people share rises to the "
    "right."
)
BOARD = (
    "Every score by how often it prefers what most people prefer, with 95 % intervals; the dashed "
    "line is chance. Those that rest on far fewer pairs than others come last. With many scores "
    "some stand high by luck alone."
)
BOARD_ALONE = (
    "Every score by its rank correlation (Spearman) with what people say, with 95 % intervals "
    "(Bonett and Wright 2000). With many scores some stand high by luck alone."
)
APART = (
    "Pairs on which the score prefers the other one than most people do: first those where its "
    "difference is large and people are of one mind."
)
APART_ALONE = "Features whose place by people and place by the score lie furthest apart."
RANKING = (
    "Features by what people prefer (Bradley and Terry 1952): of two features whose strengths "
    "differ by 1, the stronger one is preferred in 73 % of votes. Intervals are 95 %, and a little "
    "too narrow: docs/study.md says by how much."
)
TOO_MANY = "{count:,} features are too many to rank; the table of pairs has every preference."
FEATURES = "Features by what people say of them."
ANNOTATORS = "By pseudonym. Those in brackets are left out by the choice above."
TIME = "Votes that count, as they came in."
RESPONSE = "How long people took for the answers that count."
SCALE = "What texts were rated on."
GROUP = "What texts are compared as; nobody who judged was told."
GROUPS = "Mean over texts of the mean of their judgements, with 95 % intervals over texts."
DIFFERENCES = (
    "Mean rating of one group less that of the other, over texts on the same image, question, "
    "concept and feature, with its 95 % interval."
)
MATCHED = "Images, questions, concepts and features of which texts of both groups were rated."
NO_STUDY = (
    "No study is open to you. The owner's link, which `python -m pipeline study create` prints "
    "once, opens a study's results."
)
NO_VOTES = (
    "Nobody has judged anything yet. Invite people with: python -m pipeline study invite {study}"
)
NONE_LEFT = (
    "No vote is left: everybody failed more of their checks than you allow. Allow more above."
)
NOTHING_COUNTS = "Nothing that counts was judged yet: only practice, checks or skips."
NO_IMAGES = "Their images are not in this bundle: open the dashboard on {bundle} to see them."
NOTHING_APART = "None: the score says the same as most people wherever that can be told."
NOTHING_TOLD = "Nothing that was judged tells anything of this score yet."
PUBLISHED = (
    "Its votes come as shares of people, imported as one annotator: how people agree with each "
    "other, repetitions and checks are not known."
)
