//! Tables for hints: what people write where a code is meant.

use super::hint::Hint;

/// Codes that are not, or no longer, the standard's, and the one to write.
#[rustfmt::skip]
pub(super) static RETIRED: [(&str, &str); 17] = [
    ("UK", "GB"), ("EL", "GR"), ("XI", "GB-NIR"), ("EA", "ES"), ("IC", "ES"), ("FX", "FR"), ("AC", "SH"), ("TA", "SH"),
    ("DG", "IO"), ("DD", "DE"), ("SU", "RU"), ("TP", "TL"), ("ZR", "CD"), ("BU", "MM"), ("KO", "XK"), ("XKK", "XK"),
    ("EEC", "EU"),
];

/// Names beside the one in the table of countries: lower case, hyphens as spaces, without full stops.
#[rustfmt::skip]
pub(super) static ALIASES: [(&str, &str); 72] = [
    ("united states of america", "US"), ("us of a", "US"), ("america", "US"), ("u s", "US"), ("u s a", "US"),
    ("great britain", "GB"), ("britain", "GB"), ("u k", "GB"), ("united kingdom of great britain and northern ireland", "GB"),
    ("england", "GB-ENG"), ("scotland", "GB-SCT"), ("wales", "GB-WLS"), ("northern ireland", "GB-NIR"),
    ("california", "US-CA"), ("texas", "US-TX"), ("illinois", "US-IL"), ("new york", "US-NY"), ("quebec", "CA-QC"),
    ("québec", "CA-QC"), ("bavaria", "DE-BY"),
    ("holland", "NL"), ("kingdom of the netherlands", "NL"), ("czech republic", "CZ"), ("eire", "IE"),
    ("republic of ireland", "IE"), ("deutschland", "DE"), ("österreich", "AT"), ("oesterreich", "AT"), ("schweiz", "CH"),
    ("suisse", "CH"), ("svizzera", "CH"), ("españa", "ES"), ("espana", "ES"), ("italia", "IT"), ("polska", "PL"),
    ("sverige", "SE"), ("norge", "NO"), ("danmark", "DK"), ("suomi", "FI"), ("türkiye", "TR"), ("turkiye", "TR"),
    ("brasil", "BR"), ("méxico", "MX"), ("korea", "KR"), ("republic of korea", "KR"), ("russian federation", "RU"),
    ("viet nam", "VN"), ("taiwan, province of china", "TW"), ("hong kong sar", "HK"), ("macau", "MO"), ("burma", "MM"),
    ("cape verde", "CV"), ("swaziland", "SZ"), ("macedonia", "MK"), ("east timor", "TL"), ("côte d'ivoire", "CI"),
    ("cote d'ivoire", "CI"), ("uae", "AE"), ("emirates", "AE"), ("ksa", "SA"), ("drc", "CD"), ("dr congo", "CD"),
    ("syrian arab republic", "SY"), ("brunei darussalam", "BN"), ("vatican", "VA"), ("vatican city", "VA"),
    ("nz", "NZ"), ("european economic area", "EEA"), ("european union", "EU"), ("eu27", "EU"), ("eu 27", "EU"),
    ("european free trade association", "EFTA"),
];

/// Parts of the world that no law follows.
#[rustfmt::skip]
pub(super) static MACRO_REGIONS: [(&str, Hint); 24] = [
    ("europe", Hint::EuOrEea), ("eur", Hint::EuOrEea), ("europa", Hint::EuOrEea), ("eu/eea", Hint::EuOrEea),
    ("eea/eu", Hint::EuOrEea), ("eu+eea", Hint::EuOrEea), ("western europe", Hint::EuOrEea), ("150", Hint::EuOrEea),
    ("emea", Hint::EachCountry), ("apac", Hint::EachCountry), ("latam", Hint::EachCountry), ("asia", Hint::EachCountry),
    ("africa", Hint::EachCountry), ("mena", Hint::EachCountry), ("dach", Hint::EachCountry), ("nordics", Hint::EachCountry),
    ("oceania", Hint::EachCountry), ("north america", Hint::EachCountry), ("south america", Hint::EachCountry),
    ("row", Hint::EachCountry),
    ("global", Hint::Write(super::Region::World)), ("worldwide", Hint::Write(super::Region::World)),
    ("*", Hint::Write(super::Region::World)), ("all", Hint::Write(super::Region::World)),
];

/// Regions of the three large clouds and the country each one is in.
#[rustfmt::skip]
pub(super) static CLOUD_REGIONS: [(&str, &str); 155] = [
    ("us-east-1", "US"), ("us-east-2", "US"), ("us-west-1", "US"), ("us-west-2", "US"), ("us-gov-east-1", "US"),
    ("us-gov-west-1", "US"), ("ca-central-1", "CA"), ("ca-west-1", "CA"), ("mx-central-1", "MX"),
    ("sa-east-1", "BR"), ("eu-central-1", "DE"), ("eu-central-2", "CH"), ("eu-north-1", "SE"), ("eu-south-1", "IT"),
    ("eu-south-2", "ES"), ("eu-west-1", "IE"), ("eu-west-2", "GB"), ("eu-west-3", "FR"), ("eusc-de-east-1", "DE"),
    ("af-south-1", "ZA"), ("me-central-1", "AE"), ("me-south-1", "BH"), ("il-central-1", "IL"), ("ap-east-1", "HK"),
    ("ap-east-2", "TW"), ("ap-northeast-1", "JP"), ("ap-northeast-2", "KR"), ("ap-northeast-3", "JP"),
    ("ap-south-1", "IN"), ("ap-south-2", "IN"), ("ap-southeast-1", "SG"), ("ap-southeast-2", "AU"),
    ("ap-southeast-3", "ID"), ("ap-southeast-4", "AU"), ("ap-southeast-5", "MY"), ("ap-southeast-6", "NZ"),
    ("ap-southeast-7", "TH"), ("cn-north-1", "CN"), ("cn-northwest-1", "CN"),
    ("us-central1", "US"), ("us-central2", "US"), ("us-east1", "US"), ("us-east4", "US"), ("us-east5", "US"),
    ("us-east7", "US"), ("us-south1", "US"), ("us-west1", "US"), ("us-west2", "US"), ("us-west3", "US"),
    ("us-west4", "US"), ("us-west8", "US"), ("northamerica-northeast1", "CA"), ("northamerica-northeast2", "CA"),
    ("northamerica-south1", "MX"), ("southamerica-east1", "BR"), ("southamerica-west1", "CL"),
    ("europe-central2", "PL"), ("europe-north1", "FI"), ("europe-north2", "SE"), ("europe-southwest1", "ES"),
    ("europe-west1", "BE"), ("europe-west2", "GB"), ("europe-west3", "DE"), ("europe-west4", "NL"),
    ("europe-west6", "CH"), ("europe-west8", "IT"), ("europe-west9", "FR"), ("europe-west10", "DE"),
    ("europe-west12", "IT"), ("africa-south1", "ZA"), ("me-central1", "QA"), ("me-central2", "SA"),
    ("me-west1", "IL"), ("asia-east1", "TW"), ("asia-east2", "HK"), ("asia-northeast1", "JP"),
    ("asia-northeast2", "JP"), ("asia-northeast3", "KR"), ("asia-south1", "IN"), ("asia-south2", "IN"),
    ("asia-southeast1", "SG"), ("asia-southeast2", "ID"), ("asia-southeast3", "TH"), ("australia-southeast1", "AU"),
    ("australia-southeast2", "AU"),
    ("eastus", "US"), ("eastus2", "US"), ("eastus3", "US"), ("centralus", "US"), ("northcentralus", "US"),
    ("southcentralus", "US"), ("westcentralus", "US"), ("westus", "US"), ("westus2", "US"), ("westus3", "US"),
    ("usgovvirginia", "US"), ("usgovarizona", "US"), ("usgovtexas", "US"), ("canadacentral", "CA"),
    ("canadaeast", "CA"), ("mexicocentral", "MX"), ("brazilsouth", "BR"), ("brazilsoutheast", "BR"),
    ("chilecentral", "CL"), ("northeurope", "IE"), ("westeurope", "NL"), ("francecentral", "FR"),
    ("francesouth", "FR"), ("germanywestcentral", "DE"), ("germanynorth", "DE"), ("italynorth", "IT"),
    ("norwayeast", "NO"), ("norwaywest", "NO"), ("polandcentral", "PL"), ("spaincentral", "ES"),
    ("swedencentral", "SE"), ("swedensouth", "SE"), ("switzerlandnorth", "CH"), ("switzerlandwest", "CH"),
    ("uksouth", "GB"), ("ukwest", "GB"), ("austriaeast", "AT"), ("belgiumcentral", "BE"), ("denmarkeast", "DK"),
    ("southafricanorth", "ZA"), ("southafricawest", "ZA"), ("uaenorth", "AE"), ("uaecentral", "AE"),
    ("qatarcentral", "QA"), ("israelcentral", "IL"), ("eastasia", "HK"), ("southeastasia", "SG"),
    ("australiaeast", "AU"), ("australiasoutheast", "AU"), ("australiacentral", "AU"), ("australiacentral2", "AU"),
    ("newzealandnorth", "NZ"), ("japaneast", "JP"), ("japanwest", "JP"), ("koreacentral", "KR"),
    ("koreasouth", "KR"), ("centralindia", "IN"), ("southindia", "IN"), ("westindia", "IN"), ("jioindiawest", "IN"),
    ("jioindiacentral", "IN"), ("indonesiacentral", "ID"), ("malaysiawest", "MY"), ("taiwannorth", "TW"),
    ("chinaeast", "CN"), ("chinaeast2", "CN"), ("chinaeast3", "CN"), ("chinanorth", "CN"), ("chinanorth2", "CN"),
    ("chinanorth3", "CN"),
];
