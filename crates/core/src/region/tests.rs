use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn regions(text: &str) -> Regions {
    text.split_whitespace()
        .map(|code| code.parse::<Region>().unwrap())
        .collect()
}

fn set(text: &str) -> RegionSet {
    regions(text).set().clone()
}

fn words(regions: impl IntoIterator<Item = Region>) -> String {
    regions
        .into_iter()
        .map(|region| region.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

fn error(text: &str) -> String {
    text.parse::<Region>().unwrap_err().to_string()
}

#[test]
fn countries_are_those_of_the_standard_and_kosovo() {
    let theirs: BTreeSet<String> = rust_iso3166::ALL
        .iter()
        .map(|country| country.alpha2.to_owned())
        .collect();
    assert_eq!(theirs.len(), 249);
    let ours: BTreeSet<String> = codes().map(String::from).filter(|code| code != "XK").collect();
    assert_eq!(ours, theirs);
    assert_eq!(codes().count(), 250);
    assert!(codes().is_sorted());
    for country in rust_iso3166::ALL {
        let same = Country::from_alpha3(country.alpha3).unwrap();
        assert_eq!(same.code(), country.alpha2);
    }
}

#[test]
fn every_subdivision_of_the_standard_is_read() {
    let mut count = 0;
    for country in rust_iso3166::ALL {
        for part in country.subdivisions().unwrap_or_default() {
            assert_eq!(part.code.parse::<Region>().unwrap().to_string(), part.code);
            count += 1;
        }
    }
    assert!(count > 4_000, "{count}");
}

#[test]
fn groups_have_their_members() {
    let members = |group: Group| words(group.countries().map(Region::Country));
    let eu = "AT AX BE BG CY CZ DE DK EE ES FI FR GF GP GR HR HU IE IT LT LU LV MF MQ MT NL PL PT RE RO SE SI SK YT";
    assert_eq!(members(Group::Eu), eu);
    assert_eq!(Group::Eu.countries().count(), 34);
    let mut eea: Vec<_> = eu.split(' ').chain(["IS", "LI", "NO"]).collect();
    eea.sort_unstable();
    assert_eq!(members(Group::Eea), eea.join(" "));
    assert_eq!(Group::Eea.countries().count(), 37);
    assert_eq!(members(Group::Efta), "CH IS LI NO");
    // Overseas countries and crown dependencies have laws of their own.
    assert!(!set("NC PF PM WF BL TF GG JE IM GI GB CH SJ FO GL AW").overlaps(&set("EU EEA")));
    assert_eq!(
        groups().map(|(code, _)| code).collect::<Vec<_>>(),
        ["EU", "EEA", "EFTA"]
    );
}

#[test]
fn regions_are_written_as_they_were_read() {
    for code in [
        "DE", "XK", "US-CA", "GB-SCT", "FR-2A", "JP-13", "EU", "EEA", "EFTA", "Unknown", "World",
    ] {
        assert_eq!(code.parse::<Region>().unwrap().to_string(), code);
    }
    assert_eq!(
        words(regions("US-IL GB US EEA CH US").written().iter().copied()),
        "CH EEA GB US US-IL"
    );
}

#[test]
fn equal_coverage_is_equal() {
    assert_eq!(set("EFTA"), set("IS LI NO CH"));
    assert_eq!(set("US US-CA"), set("US"));
    let mut union = set("US-CA CA-QC");
    union.union_with(&set("US"));
    assert_eq!(union, set("US CA-QC"));
    assert_eq!(RegionSet::empty(), [].into_iter().collect());
}

#[test]
fn overlap_errs_towards_yes() {
    for (a, b, expected) in [
        ("DE", "DE", true),
        ("DE", "FR", false),
        ("DE", "EEA", true),
        ("GB", "EEA", false),
        ("CH", "EEA", false),
        ("CH", "EFTA", true),
        ("EU", "EEA", true),
        ("EEA", "EFTA", true),
        ("EU", "EFTA", false),
        ("US", "US-IL", true),
        ("US-CA", "US-IL", false),
        ("US-CA US-IL", "CA-QC US-IL", true),
        ("US-CA CA-QC", "CA-ON US-IL", false),
        ("DE-BY", "EEA", true),
        ("Unknown", "DE", true),
        ("World", "US-CA", true),
        ("Unknown", "World", true),
        ("Unknown", "Unknown", true),
        ("", "Unknown", false),
        ("", "World", false),
        ("", "DE", false),
        ("", "", false),
    ] {
        assert_eq!(set(a).overlaps(&set(b)), expected, "{a} and {b}");
        assert_eq!(set(b).overlaps(&set(a)), expected, "{b} and {a}");
    }
}

#[test]
fn within_errs_towards_no() {
    for (data, allowed, expected) in [
        ("US", "US CA", true),
        ("US IN", "US CA", false),
        ("US-CA", "US", true),
        ("US", "US-CA US-IL", false),
        ("US-CA", "US-CA", true),
        ("US-CA", "US-IL", false),
        ("EU", "EEA", true),
        ("EEA", "EU", false),
        ("DE-BY", "EU", true),
        ("Unknown", "US", false),
        ("Unknown", "World", false),
        ("World", "US", false),
        ("World", "World", true),
        ("DE", "World", true),
        ("", "US", true),
        ("US", "", false),
    ] {
        assert_eq!(
            set(data).within(&set(allowed)),
            expected,
            "{data} within {allowed}"
        );
    }
    let every = codes().collect::<Vec<_>>().join(" ");
    assert!(!set("World").within(&set(&every)));
}

#[test]
fn removal_rounds_up() {
    for (data, removed, left) in [
        ("US DE FR", "EEA", "US"),
        (
            "EEA US",
            "DE",
            "AT AX BE BG CY CZ DK EE ES FI FR GF GP GR HR HU IE IS IT LI LT LU LV MF MQ MT NL NO PL PT RE RO SE SI SK US YT",
        ),
        ("EEA", "EU", "IS LI NO"),
        ("EU", "EEA", ""),
        ("EU", "DE-BY", "EU"),
        ("US", "US-CA", "US"),
        ("US US-CA", "US-CA", "US"),
        ("US-CA US-IL", "US-CA", "US-IL"),
        ("US-CA DE", "US", "DE"),
        ("Unknown", "EEA", "Unknown"),
        ("World", "EEA GB CH", "World"),
        ("DE", "World Unknown", "DE"),
        ("DE FR World", "World DE", "FR World"),
        ("DE", "", "DE"),
    ] {
        let rest = regions(data).without(&set(removed));
        assert_eq!(
            words(rest.written().iter().copied()),
            left,
            "{data} without {removed}"
        );
        assert_eq!(
            *rest.set(),
            set(data).without(&set(removed)),
            "{data} without {removed}"
        );
    }
}

#[test]
fn messages_name_what_was_written() {
    let data = regions("US DE FR Unknown");
    assert_eq!(words(data.meeting(&set("EEA"))), "DE FR Unknown");
    assert_eq!(words(data.outside(&set("US DE"))), "FR Unknown");
    assert_eq!(words(regions("EEA US").meeting(&set("DE"))), "EEA");
    assert_eq!(words(regions("World").outside(&set("US"))), "World");
    assert_eq!(words(regions("US").meeting(&RegionSet::empty())), "");
}

#[test]
fn hints_say_what_to_write() {
    for (given, meant) in [
        ("UK", "GB"),
        ("uk", "GB"),
        ("EL", "GR"),
        ("UK-SCT", "GB-SCT"),
        ("de", "DE"),
        ("us-ca", "US-CA"),
        ("US_CA", "US-CA"),
        (" DE", "DE"),
        ("eea", "EEA"),
        ("Eu", "EU"),
        ("unknown", "Unknown"),
        ("WORLD", "World"),
        ("Global", "World"),
        ("DEU", "DE"),
        ("GBR", "GB"),
        ("USA", "US"),
        ("usa", "US"),
        ("U.S.A.", "US"),
        ("Germany", "DE"),
        ("germany", "DE"),
        ("United Kingdom", "GB"),
        ("united-kingdom", "GB"),
        ("Great Britain", "GB"),
        ("The Netherlands", "NL"),
        ("Türkiye", "TR"),
        ("Guinea-Bissau", "GW"),
        ("England", "GB-ENG"),
        ("EU27", "EU"),
        ("European Union", "EU"),
        ("Kosovo", "XK"),
    ] {
        let error = given.parse::<Region>().unwrap_err();
        assert_eq!(error.hint().unwrap().to_string(), meant, "{given}");
    }
    assert_eq!(error("UK"), "UK is not an ISO 3166 code; write GB");
    assert_eq!(
        error("Europe"),
        "Europe is not an ISO 3166 code; write EU or EEA, or each country"
    );
    let apac = "APAC is not an ISO 3166 code; write each country, for example DE, or a group: EU, EEA, EFTA";
    assert_eq!(error("APAC"), apac);
    assert_eq!(
        error("QQ"),
        "QQ is not an ISO 3166 code; write for example DE, US-CA, EU or EEA"
    );
    assert_eq!(
        error(""),
        "a region is empty; write an ISO 3166 code, for example DE"
    );
}

#[test]
fn cloud_regions_are_told_apart() {
    for (given, example) in [
        ("eu-west-1", "IE"),
        ("EU-WEST-1", "IE"),
        ("eu-west-1a", "IE"),
        ("us-central1", "US"),
        ("us-central1-f", "US"),
        ("europe-west4", "NL"),
        ("westeurope", "NL"),
        ("West Europe", "NL"),
        ("ap-southeast-2", "AU"),
        ("uksouth", "GB"),
    ] {
        let expected =
            format!("{given} is a cloud region; write where the people live, for example {example}");
        assert_eq!(error(given), expected);
        assert_eq!(given.parse::<Region>().unwrap_err().hint(), None);
    }
}

#[test]
fn tables_lead_to_regions() {
    for (from, to) in names::RETIRED
        .iter()
        .chain(&names::ALIASES)
        .chain(&names::CLOUD_REGIONS)
    {
        assert!(exact(to).is_some(), "{from}: {to}");
        assert!(exact(from).is_none(), "{from} is a code");
        assert!(hint::of(from).is_some(), "{from} is not found");
    }
    for (from, hint) in names::MACRO_REGIONS {
        assert_eq!(hint::of(from), Some(hint), "{from}");
    }
}

#[test]
fn policies_and_workloads_name_places() {
    assert_eq!(
        Region::parse_people("Unknown").unwrap_err().to_string(),
        "Unknown is for DatasetRecords only; write ISO 3166 codes or a group, for example DE or EEA"
    );
    assert!(Region::parse_people("World").is_err());
    // No hint that is refused in its turn.
    assert_eq!(Region::parse_people("global").unwrap_err().hint(), None);
    assert_eq!(Region::parse_people("world").unwrap_err().hint(), None);
    assert_eq!(Region::parse_people("EEA").unwrap().to_string(), "EEA");
}

#[test]
fn lookalikes_are_refused_and_spelt_out() {
    // Cyrillic, fullwidth, with a zero-width space, with a combining mark, a Turkish capital, a hyphen lookalike.
    for given in [
        "\u{421}\u{41d}",
        "\u{ff24}\u{ff25}",
        "D\u{200b}E",
        "DE\u{301}",
        "\u{130}T",
        "US\u{2010}CA",
        "DE\n",
    ] {
        let error = given.parse::<Region>().unwrap_err().to_string();
        assert!(
            error.starts_with(|c: char| c.is_ascii() || c == '\u{130}'),
            "{error}"
        );
        assert!(
            !error.contains(['\n', '\u{200b}', '\u{301}', '\u{421}']),
            "{error}"
        );
    }
    assert_eq!(
        error("D\u{200b}E"),
        "D<U+200B>E is not an ISO 3166 code; write for example DE, US-CA, EU or EEA"
    );
}

fn any_region() -> impl Strategy<Value = Region> {
    // Few countries, so that parts, wholes and groups meet.
    prop_oneof![
        6 => "(DE|US|CH|NO|GB|IS)",
        6 => "(DE|US|NO|GB)-(A|B|C1)",
        3 => "(EU|EEA|EFTA)",
        1 => "(Unknown|World)",
    ]
    .prop_map(|code| code.parse().unwrap())
}

fn any_regions() -> impl Strategy<Value = Vec<Region>> {
    prop::collection::vec(any_region(), 0..6)
}

/// Two single regions by definition rather than by bits.
fn meets(a: Region, b: Region) -> bool {
    let parts = |region| match region {
        Region::Country(country) => vec![(country, None)],
        Region::Subdivision(part) => vec![(part.country(), Some(part))],
        Region::Group(group) => group.countries().map(|country| (country, None)).collect(),
        Region::Unknown | Region::World => vec![],
    };
    let open = |region| matches!(region, Region::Unknown | Region::World);
    open(a)
        || open(b)
        || parts(a).iter().any(|(country, part)| {
            parts(b).iter().any(|(other, other_part)| {
                country == other && (part.is_none() || other_part.is_none() || part == other_part)
            })
        })
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,80}") {
        if let Err(error) = text.parse::<Region>() {
            let message = error.to_string();
            prop_assert!(!message.contains('"') && !message.contains('\n'));
            prop_assert!(message.chars().count() < 400);
        }
        let _ = Region::parse_people(&text);
    }

    #[test]
    fn what_is_read_is_plain(text in "[A-Za-zÀ-ɏ0-9 ._-]{0,8}") {
        if let Ok(region) = text.parse::<Region>() {
            prop_assert_eq!(region.to_string(), text);
        }
    }

    #[test]
    fn overlap_is_symmetric_and_that_of_the_members(a in any_regions(), b in any_regions()) {
        let (x, y): (Regions, Regions) = (a.iter().copied().collect(), b.iter().copied().collect());
        let expected = a.iter().any(|a| b.iter().any(|b| meets(*a, *b)));
        prop_assert_eq!(x.set().overlaps(y.set()), expected);
        prop_assert_eq!(y.set().overlaps(x.set()), expected);
        prop_assert_eq!(x.meeting(y.set()).count() > 0, expected);
    }

    #[test]
    fn the_order_of_regions_means_nothing(mut a in any_regions()) {
        let before: Regions = a.iter().copied().collect();
        a.reverse();
        prop_assert_eq!(before, a.into_iter().collect());
    }

    #[test]
    fn within_agrees_with_its_members(a in any_regions(), b in any_regions()) {
        let (x, y): (Regions, Regions) = (a.into_iter().collect(), b.into_iter().collect());
        prop_assert_eq!(x.set().within(y.set()), x.outside(y.set()).next().is_none());
        if x.set().within(y.set()) && !x.is_empty() {
            prop_assert!(x.set().overlaps(y.set()));
        }
    }

    #[test]
    fn removal_and_union_keep_words_and_sets_together(a in any_regions(), b in any_regions()) {
        let (x, y): (Regions, Regions) = (a.into_iter().collect(), b.into_iter().collect());
        let left = x.without(y.set());
        prop_assert_eq!(left.set(), &x.set().without(y.set()));
        prop_assert!(left.set().within(x.set()) || x.set().is_unknown());
        let mut union = x.set().clone();
        union.union_with(y.set());
        let both = x.union(&y);
        prop_assert_eq!(both.set(), &union);
    }
}
