package demo

// airlines have ICAO codes, and a hub at which every other trip of their planes ends.
var airlines = []struct {
	code string
	hub  Point
}{
	{"KLM", Point{52.3086, 4.7639}},    // Amsterdam
	{"DLH", Point{50.0333, 8.5706}},    // Frankfurt
	{"AFR", Point{49.0097, 2.5479}},    // Paris
	{"BAW", Point{51.4706, -0.4619}},   // London
	{"IBE", Point{40.4719, -3.5626}},   // Madrid
	{"SAS", Point{55.6179, 12.6560}},   // Copenhagen
	{"ICE", Point{63.9850, -22.6056}},  // Keflavik
	{"THY", Point{41.2753, 28.7519}},   // Istanbul
	{"UAE", Point{25.2528, 55.3644}},   // Dubai
	{"QTR", Point{25.2731, 51.6081}},   // Doha
	{"ETH", Point{8.9779, 38.7993}},    // Addis Ababa
	{"SAA", Point{-26.1392, 28.2460}},  // Johannesburg
	{"RAM", Point{33.3675, -7.5900}},   // Casablanca
	{"AIC", Point{28.5665, 77.1031}},   // Delhi
	{"SIA", Point{1.3502, 103.9944}},   // Singapore
	{"THA", Point{13.6811, 100.7473}},  // Bangkok
	{"CPA", Point{22.3089, 113.9146}},  // Hong Kong
	{"CCA", Point{40.0801, 116.5846}},  // Beijing
	{"KAL", Point{37.4691, 126.4510}},  // Seoul
	{"JAL", Point{35.7647, 140.3864}},  // Tokyo
	{"QFA", Point{-33.9461, 151.1772}}, // Sydney
	{"ANZ", Point{-37.0081, 174.7917}}, // Auckland
	{"DAL", Point{33.6367, -84.4281}},  // Atlanta
	{"UAL", Point{41.9786, -87.9048}},  // Chicago
	{"AAL", Point{32.8968, -97.0380}},  // Dallas
	{"HAL", Point{21.3187, -157.9224}}, // Honolulu
	{"ACA", Point{43.6772, -79.6306}},  // Toronto
	{"AMX", Point{19.4363, -99.0721}},  // Mexico City
	{"AVA", Point{4.7016, -74.1469}},   // Bogota
	{"TAM", Point{-23.4356, -46.4731}}, // Sao Paulo
	{"ARG", Point{-34.8222, -58.5358}}, // Buenos Aires
	{"LAN", Point{-33.3930, -70.7858}}, // Santiago
}
