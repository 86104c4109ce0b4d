package lab

// Subjects of rows that compare two versions of the herd. Without --against, otherHerd is not measured.
const (
	thisHerd  = "herd"    // the binary of --herd
	otherHerd = "against" // the binary of --against
)

var bothHerds = []string{thisHerd, otherHerd}

// serve is the command of one of bothHerds, see herdOptions.program.
func (b *Bench) serve(subject string) []string {
	if subject == otherHerd {
		return []string{b.Against, "serve"}
	}
	return []string{b.Herd, "serve"}
}
