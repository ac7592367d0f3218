//! What kubectl prints of an answer (kubectl 1.37: `checkErr` and the warning handler).

/// An answer with what kubectl knows of the object.
#[derive(Debug)]
pub struct Told {
    pub kind: String,
    pub name: String,
    pub allowed: bool,
    /// Whether any policy governs it.
    pub governed: bool,
    pub code: u16,
    pub reason: String,
    pub message: String,
    /// Field and message.
    pub causes: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

impl Told {
    /// What every answer keeps, whatever it says.
    pub fn check(&self, case: &str) {
        let lines = self
            .causes
            .iter()
            .map(|(field, message)| format!("{field}: {message}"));
        for line in lines.chain(self.warnings.clone()) {
            assert!(
                !line.contains(['\n', '"']),
                "{case}: a newline or a double quote in: {line}"
            );
            assert!(line.chars().count() <= 400, "{case}: too long to read: {line}");
        }
        for warning in &self.warnings {
            assert!(
                warning.chars().count() <= 256,
                "{case}: the API server drops: {warning}"
            );
        }
        if !self.allowed {
            // GitOps tools show only the message.
            for (field, message) in &self.causes {
                assert!(
                    self.message.contains(&format!("{field}: {message}")),
                    "{case}: {}",
                    self.message
                );
            }
        }
    }
}

/// The output for several objects.
pub fn print(all: &[Told]) -> String {
    let mut text = String::new();
    for told in all {
        for warning in &told.warnings {
            text += &format!("Warning: {warning}\n");
        }
        let (kind, name) = (&told.kind, &told.name);
        if told.allowed {
            let how = if told.governed { "allowed" } else { "not governed" };
            text += &format!("The {kind} \"{name}\" is {how}.\n");
        } else if told.reason == "Invalid" && told.code == 422 && !told.causes.is_empty() {
            text += &format!("The {kind} \"{name}\" is invalid:\n");
            for (field, message) in &told.causes {
                text += &format!("* {field}: {message}\n");
            }
        } else {
            text += &format!("Error from server ({}): {}\n", told.reason, told.message);
        }
    }
    text
}
