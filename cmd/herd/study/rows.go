package study

// All are the rows of the study, in the order in which they are run and reported.
func All() []*Experiment {
	return []*Experiment{floodOrAsk(), growthOfServers(), growthOfRecords()}
}
