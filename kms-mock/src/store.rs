//! Stand-in.

#[derive(Debug)]
pub(crate) struct Seed {}

impl Seed {
    pub(crate) fn parse_file(text: &[u8]) -> Result<Vec<Self>, String> {
        let _ = text;
        Ok(vec![Self {}])
    }
}
