package places

// credits are the attributions that the licenses of the embedded data require.
const credits = `[
    "Populated places: <a href=\"https://www.geonames.org/\">GeoNames</a>, CC BY 4.0",
    "Airports: <a href=\"https://ourairports.com/\">OurAirports</a> by way of airport-db, ODbL 1.0"
  ]`

// NewEmbedded unpacks and indexes the embedded data. It takes about 100 ms and 15 MB.
func NewEmbedded(rank Rank) (*Index, error) {
	var all table
	for k := range kinds {
		all.types, all.class = append(all.types, k.types()), append(all.class, k.class())
	}
	for _, packed := range [][]byte{packedGeoNames, packedAirports} {
		if err := all.add(packed); err != nil {
			return nil, err
		}
	}
	return newIndex(all, rank, "embedded", credits), nil
}
