package compare

// FullRounds is how many rounds the published page needs.
const FullRounds = 5

func Page(*Results) string { return "" }
