//! What people are told before they sign: sentences, which break where the terminal ends, and tables.

use comfy_table::{ContentArrangement, LineStyle, Table, presets};

const WIDTH_WITHOUT_TERMINAL: u16 = 80;

/// A table as lines, as wide as the terminal.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(presets::NOTHING.header_separator(line)).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH_WITHOUT_TERMINAL);
    }
    table.set_header(header.to_vec()).add_rows(rows);
    table.trim_fmt().lines().map(str::to_owned).collect()
}

/// `Ada`, `Ada and Grace`, `Ada, Grace and Linus`.
pub(super) fn and(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `any 2 of Ada, Grace and Linus`, `Ada and Grace`.
pub(super) fn any_of(threshold: u32, names: &[&str]) -> String {
    match (threshold as usize, names.len()) {
        (needed, there) if needed == there => and(names),
        _ => format!("any {threshold} of {}", and(names)),
    }
}

/// What it means that so many of these people must sign root: who has the power, what a loss does, what a theft does.
pub(super) fn root_power(names: &[&str], threshold: u32) -> Vec<String> {
    let spare = (names.len() as u32).saturating_sub(threshold);
    let lost = match spare {
        0 => {
            "If one of these keys is lost, nobody can change root any more, and every client needs a new one by hand. \
              Another key, kept in reserve, would protect against that."
                .to_owned()
        }
        spare => format!(
            "If {} of these keys are lost, nobody can change root any more, and every client needs a new one by hand.",
            spare + 1
        ),
    };
    let stolen = match threshold {
        1 => "Who steals one of them can do all that you can.".to_owned(),
        2 => "Who steals one of them can do nothing with it; who steals 2 can do all that you can.".to_owned(),
        more => format!(
            "Who steals fewer than {more} of them can do nothing with them; who steals {more} can do all that you can."
        ),
    };
    let who = any_of(threshold, names);
    let who = format!("{}{}", who[..1].to_uppercase(), &who[1..]);
    vec![format!("{who} together can change everything, also who signs."), lost, stolen]
}

/// What the loss and the theft of an online key mean, of which the metadata is accepted for so many days.
pub(super) fn online_power(name: &str, roles: &[&str], least_days: u32) -> Vec<String> {
    vec![
        format!(
            "Who steals the online key '{name}' can sign {} until people replace it: rstuf admin metadata update.",
            and(roles)
        ),
        format!(
            "If it is lost, nothing can be published, and clients refuse what there is after {} at the latest, until it is replaced.",
            days(least_days)
        ),
    ]
}

/// `1 day`, `7 days`.
pub(super) fn days(days: u32) -> String {
    match days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// `16,384`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `740 B`, `12 kB`, `3.1 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_people_do() {
        assert_eq!(and(&["Ada"]), "Ada");
        assert_eq!(any_of(2, &["Ada", "Grace"]), "Ada and Grace");
        assert_eq!(any_of(2, &["Ada", "Grace", "Linus"]), "any 2 of Ada, Grace and Linus");
    }

    #[test]
    fn what_losses_and_thefts_mean_depends_on_how_many_sign() {
        let told = root_power(&["Ada", "Grace", "Linus"], 2);
        assert_eq!(told[0], "Any 2 of Ada, Grace and Linus together can change everything, also who signs.");
        assert!(told[1].starts_with("If 2 of these keys are lost, nobody can"), "{}", told[1]);
        assert!(told[2].ends_with("who steals 2 can do all that you can."), "{}", told[2]);
        assert!(root_power(&["Ada", "Grace"], 2)[1].starts_with("If one of these keys is lost, nobody can"));
        assert!(root_power(&["a", "b", "c", "d", "e"], 3)[1].starts_with("If 3 of these keys are lost"));
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(
            (grouped(7), grouped(16_384), grouped(1_000_000)),
            ("7".into(), "16,384".into(), "1,000,000".into())
        );
        let sizes = [999, 1_000, 12_345, 3_120_000, 4_000_000_000].map(size);
        assert_eq!(sizes, ["999 B", "1 kB", "13 kB", "3.1 MB", "4.0 GB"]);
    }

    #[test]
    fn a_table_fits_80_columns_without_a_terminal() {
        let words =
            "some words that take more than the width of a line when they stand beside others in a row".to_owned();
        let lines = table(&["role", "what"], vec![vec!["root".to_owned(), words]]);
        assert!(lines.len() > 3 && lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    }
}
