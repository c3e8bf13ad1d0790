package bootstrap

import (
	"slices"
	"strings"
)

// eu are the member states of the European Union by ISO 3166-1 alpha-2 code;
// https://european-union.europa.eu/principles-countries-history/eu-countries_en
const eu = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"

// efta are the states that the EEA has besides the European Union;
// https://www.efta.int/eea-relations-eu/eea-agreement
const efta = "IS LI NO"

// expandCountries turns country codes, EU and EEA into country codes. What is neither is
// dropped; validateHosts reports it.
func expandCountries(codes []string) []string {
	var out []string
	for _, c := range codes {
		switch {
		case c == "EU":
			out = append(out, strings.Fields(eu)...)
		case c == "EEA":
			out = append(out, strings.Fields(eu+" "+efta)...)
		case len(c) == 2 && c == strings.ToUpper(c) && c[0] >= 'A' && c[1] >= 'A' && c[0] <= 'Z' && c[1] <= 'Z':
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
