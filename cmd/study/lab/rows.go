package lab

// All are the rows of the study, in the order in which they are run and reported.
func All() []*Experiment {
	return []*Experiment{
		throughput(), latency(), memory(), idleRatio(), slowHandler(), slowReaders(), churn(),
		payload(), cores(), wholeHerd(), pauses(), floodOrAsk(), growthOfServers(),
		growthOfRecords(), correctness(),
	}
}
