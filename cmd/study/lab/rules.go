package lab

import "fmt"

// The constants of the rules. This file and others are what is fixed before the first run: see ruleFiles.
const (
	// enough is the minimum number of rounds for a verdict.
	enough = 5
	// falseVerdicts is the rate of false verdicts among all, at most.
	falseVerdicts = 0.01
	// leastDifference is the smallest ratio that is called a difference.
	leastDifference = 1.05
	// intervalOfRatio is the coverage of the confidence interval of a ratio, leastCoverage that of a median.
	intervalOfRatio = 0.95
	leastCoverage   = 0.9
	// enoughPoints is the minimum number of settings for a law, and mostOff how far each may be off.
	enoughPoints = 5
	mostOff      = 0.15
	// leastExponent is the smallest exponent of a power law that is called growth.
	leastExponent = 0.01
)

// Rules are the rules by which conclusions are computed. They are printed before the first run and are
// part of the report.
var Rules = []string{
	"Runs are interleaved. In each round every setting is measured with every subject in turn. Every second round has " +
		"the opposite order, and the next begins with another subject. Each run starts a new server. What happens during " +
		"the warm-up is not counted.",
	fmt.Sprintf("A value is the median of its rounds with a confidence interval of the median, which has a coverage of at "+
		"least %.0f %% whatever the distribution is: of 5 rounds the least and the greatest value (%.0f %%), of 10 rounds "+
		"the second least and the second greatest (%.0f %%).", 100*leastCoverage, coverageOf(5), coverageOf(10)),
	fmt.Sprintf("Two subjects are compared round by round, as the machine is at times faster and at times slower for both. "+
		"The ratio is the geometric mean of the ratios of all rounds, with a %.0f %% confidence interval of Student's t "+
		"on their logarithms. At least %d rounds are required.", 100*intervalOfRatio, enough),
	fmt.Sprintf("One of two is better if the t test rejects that they are alike, corrected for the number of comparisons, and "+
		"if the ratio is %.2f or more. The correction is that of Benjamini and Hochberg over all comparisons of the same "+
		"two subjects: the expected part of false verdicts is %.0f %% at most, if the tests are independent or "+
		"positively correlated. Two are alike if the whole interval is within a ratio of %.2f. Everything else is not "+
		"decided.", leastDifference, 100*falseVerdicts, leastDifference),
	"What is true by the construction of an experiment is not compared. Yardsticks (Redis, bare servers) do less than " +
		"the others, or something else: they have no verdicts.",
	"In simulated rows a round is a seed: the same seed gives the same figures, and the interval is that over seeds.",
	"Where a server is much less than 100 % busy and its loader is not, a ratio of replies says less about the " +
		"servers than a ratio of CPU per reply.",
	"A target is met if the median reaches it. Whether every round did is said beside it. What it is missed by is the part " +
		"of it that the median lacks.",
	"A supposition of the paper is confirmed if the verdict is as it says, contradicted if the verdict is the " +
		"opposite, and otherwise left open.",
	fmt.Sprintf("Growth: a power law or, where there is a part that does not grow, a line is fitted to the medians of at "+
		"least %d settings by least squares. It is a law if no median is off by more than %.0f %%. Only a law is "+
		"extended beyond what was measured. What breaks first is what reaches its limit at the smallest multiple.",
		enoughPoints, 100*mostOff),
	"A run with a wrong reply, with servers that differ at its end, or with dropped log entries is void. It is repeated, " +
		"and listed. That favors slower runs, as a log drops entries when its server is fast.",
}

// coverageOf is the coverage of the interval of a median of n rounds, in %.
func coverageOf(n int) float64 {
	_, coverage := interval(n)
	return 100 * coverage
}
