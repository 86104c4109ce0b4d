package lab

// All returns the rows of the study, in the order of runs and of the report.
func All() []*Experiment {
	return []*Experiment{
		throughput(), latency(), memory(), idleRatio(), slowHandler(), slowReaders(), churn(),
		payload(), cores(), placement(), updates(), copying(), wholeHerd(), pauses(), floodOrAsk(), growthOfServers(),
		growthOfRecords(), correctness(), manyClients(), manyServers(), tlsCost(),
	}
}
