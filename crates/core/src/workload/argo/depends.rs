//! The expression `depends` of a task: `(filter.Succeeded || cached.Succeeded) && !probe.Failed`.
//!
//! What a task waits for is read by a linear rule that is sound: "and" is proved if one side is, "or" if both are,
//! "not" never; and of the results of a task only `Succeeded` shows that it did. Argo itself evaluates the text with an
//! expression language that knows much more; whatever is not written with names, `&&`, `||`, `!` and parentheses proves
//! nothing here.

/// A part of an expression, in postfix order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// A task with a result; without one any of `Succeeded`, `Skipped` and `Daemoned` is meant.
    Task(&'t str, Option<&'t str>),
    /// Both of the two before it.
    And,
    /// One of the two before it.
    Or,
    /// Not the one before it.
    Not,
}

/// What waits to be written behind its operands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Waiting {
    Open,
    Or,
    And,
    Not,
}

impl Waiting {
    fn token<'t>(self) -> Option<Token<'t>> {
        match self {
            Self::Open => None,
            Self::Or => Some(Token::Or),
            Self::And => Some(Token::And),
            Self::Not => Some(Token::Not),
        }
    }
}

/// Reads an expression; absent if it is none that is understood. Not recursive, and linear in the text.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<Token<'_>>> {
    let mut output = Vec::new();
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut operand = true;
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('(').filter(|_| operand) {
            waiting.push(Waiting::Open);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('!').filter(|_| operand) {
            waiting.push(Waiting::Not);
            rest = after;
        } else if operand {
            let (task, after) = task(rest)?;
            output.push(task);
            operand = false;
            rest = after;
        } else if let Some(after) = rest.strip_prefix(')') {
            loop {
                match waiting.pop()? {
                    Waiting::Open => break,
                    other => output.extend(other.token()),
                }
            }
            rest = after;
        } else {
            let (operator, after) = match (rest.strip_prefix("&&"), rest.strip_prefix("||")) {
                (Some(after), _) => (Waiting::And, after),
                (_, Some(after)) => (Waiting::Or, after),
                _ => return None,
            };
            while let Some(before) = waiting.last().copied().filter(|it| *it >= operator) {
                output.extend(before.token());
                waiting.pop();
            }
            waiting.push(operator);
            operand = true;
            rest = after;
        }
        rest = rest.trim_start();
    }
    if operand || waiting.contains(&Waiting::Open) {
        return None;
    }
    output.extend(waiting.into_iter().rev().filter_map(Waiting::token));
    Some(output)
}

/// The name of a task, and its result if one is given.
fn task(text: &str) -> Option<(Token<'_>, &str)> {
    let end = |text: &str, of: fn(char) -> bool| text.find(|c| !of(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end(text, |c| c.is_ascii_alphanumeric() || c == '-'));
    if name.is_empty() || name.starts_with('-') {
        return None;
    }
    let Some(after) = rest.strip_prefix('.') else {
        return Some((Token::Task(name, None), rest));
    };
    let (result, rest) = after.split_at(end(after, |c| c.is_ascii_alphabetic()));
    (!result.is_empty()).then_some((Token::Task(name, Some(result)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let word = |token: &Token<'_>| match token {
            Token::Task(name, None) => (*name).to_owned(),
            Token::Task(name, Some(result)) => format!("{name}.{result}"),
            Token::And => "&".to_owned(),
            Token::Or => "|".to_owned(),
            Token::Not => "!".to_owned(),
        };
        parse(text).map(|tokens| tokens.iter().map(word).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn expressions_are_read_as_argo_means_them() {
        for (text, expected) in [
            ("a", Some("a")),
            ("a-b.Succeeded", Some("a-b.Succeeded")),
            ("a.Succeeded && b", Some("a.Succeeded b &")),
            ("a || b && c", Some("a b c & |")),
            ("(a || b) && c", Some("a b | c &")),
            ("!a && b", Some("a ! b &")),
            ("!(a && !b)\n || c", Some("a b ! & ! c |")),
            ("a && b && c", Some("a b & c &")),
            ("!!a", Some("a ! !")),
            ("", None),
            ("a b", None),
            ("a and b", None),
            ("a &&", None),
            ("(a", None),
            ("a)", None),
            ("()", None),
            ("a.", None),
            ("a_b.Succeeded", None),
            ("{{inputs.parameters.x}}", None),
            ("a.Succeeded == true", None),
            ("a.Succeeded ? b : c", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_megabyte_of_parentheses_needs_no_stack() {
        let deep = format!("{}a{}", "(".repeat(500_000), ")".repeat(500_000));
        assert_eq!(parse(&deep), Some(vec![Token::Task("a", None)]));
        let not = format!("{}a", "!".repeat(1_000_000));
        assert_eq!(parse(&not).map(|it| it.len()), Some(1_000_001));
    }
}
