//! The subset of HTML that the tests examine.

/// The values of an attribute, with the entities decoded that occur in them.
pub(crate) fn values<'p>(page: &'p str, attribute: &str) -> Vec<String> {
    let opening = format!(" {attribute}=\"");
    page.match_indices(&opening)
        .map(|(at, _)| {
            let value: &'p str = page[at + opening.len()..].split('"').next().unwrap();
            value.replace("&#38;", "&").replace("&amp;", "&")
        })
        .collect()
}

/// What a page must not contain: inline scripts or styles, event handlers, external addresses.
pub(crate) fn offences(page: &str) -> Vec<String> {
    let mut offences = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.split_whitespace().next().unwrap_or_default();
        let is_inline_script =
            name == "script" && !tag.contains(" src=\"/assets/") && !tag.contains("application/ld+json");
        // Attribute names are outside of quotes.
        let outside: String = tag.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        let has_handler = outside
            .split_whitespace()
            .skip(1)
            .any(|attribute| attribute.starts_with("on") && attribute.contains('='));
        if is_inline_script || name == "style" || outside.contains(" style=") || has_handler {
            offences.push(tag.to_owned());
        }
    }
    for attribute in ["src", "srcset"] {
        offences.extend(
            values(page, attribute)
                .into_iter()
                .filter(|value| !value.starts_with('/')),
        );
    }
    offences
}
