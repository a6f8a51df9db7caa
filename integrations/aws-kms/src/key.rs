//! Names of KMS keys.
//!
//! ```text
//! arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab     one key, forever
//! arn:aws:kms:eu-west-1:111122223333:alias/backups          the key that the alias points to at the time
//! 1234abcd-12ab-34cd-56ef-1234567890ab                      the caller's account, the client's region
//! mrk-1234abcd12ab34cd56ef1234567890ab                      the same, for a key in several regions
//! alias/backups
//! ```
//!
//! Each may end in `@REGION`.

use std::fmt;
use std::str::FromStr;

use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::keys::KeyMatch;

use crate::ID;

/// A key of AWS KMS: a key ARN, a key id, `alias/NAME` or an alias ARN, each with an optional `@REGION`.
///
/// ```
/// use sealstone_aws_kms::KmsKey;
///
/// let key: KmsKey = "alias/backups@eu-west-1".parse()?;
/// assert_eq!((key.id(), key.region()), ("alias/backups", Some("eu-west-1")));
/// assert!("backups".parse::<KmsKey>().is_err());
/// # Ok::<(), sealstone::error::ProviderError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KmsKey {
    /// The name that is sent to KMS.
    id: String,
    form: Form,
    region: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    KeyArn,
    AliasArn,
    Id,
    Alias,
}

impl KmsKey {
    /// The key as it is sent to KMS, without the region.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The region that the key or its ARN names.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Whether this names the same key forever: an alias can be moved to another key, and an id depends on the account
    /// and region that are called.
    #[must_use]
    pub const fn is_key_arn(&self) -> bool {
        matches!(self.form, Form::KeyArn)
    }

    /// Whether a slot with the key id `arn` is under this key, as far as the names show.
    pub(crate) fn matches(&self, arn: &str) -> KeyMatch {
        match self.form {
            Form::KeyArn if is_same_key(&self.id, arn) => KeyMatch::Yes,
            Form::KeyArn => KeyMatch::No(Some(format!("{} is not {arn}", self.id))),
            _ if self.is_elsewhere(arn) => KeyMatch::No(Some(format!("{self} is not where {arn} is"))),
            // Only KMS can tell which account and region the id belongs to.
            Form::Id if key_id_of(arn) == Some(&self.id) => KeyMatch::Maybe,
            Form::Id => KeyMatch::No(Some(format!("{} is not the id of {arn}", self.id))),
            Form::Alias | Form::AliasArn => KeyMatch::Maybe,
        }
    }
}

impl KmsKey {
    /// Whether an id or alias cannot mean the key of this ARN: it is in another region, account or partition.
    fn is_elsewhere(&self, arn: &str) -> bool {
        let Some(key) = Arn::parse(arn) else { return true };
        let own = Arn::parse(&self.id);
        let other_owner = own.is_some_and(|own| (own.partition, own.account) != (key.partition, key.account));
        let other_region = self.region().is_some_and(|region| region != key.region);
        // Copies of a multi-region key open each other's ciphertexts.
        other_owner || (other_region && !key.resource.starts_with("key/mrk-"))
    }
}

impl FromStr for KmsKey {
    type Err = ProviderError;

    /// # Errors
    /// Class `Configuration`, with the reason.
    fn from_str(text: &str) -> Result<Self, ProviderError> {
        let refused = |reason: &str| {
            // The text is not repeated, because it may be a secret pasted by mistake.
            let message = format!(
                "this is not a KMS key: {reason}; give a key ARN, a key id, alias/NAME or an alias ARN, with @REGION if needed"
            );
            ProviderError::new(ProviderErrorClass::Configuration, ID, message)
        };
        let (id, named) = match text.rsplit_once('@') {
            Some((id, region)) => (id, Some(region)),
            None => (text, None),
        };
        if named.is_some_and(|region| !is_region(region)) {
            return Err(refused("the text after the @ is not a region"));
        }
        let (form, own) = parse_id(id).map_err(refused)?;
        if let (Some(own), Some(named)) = (own, named)
            && own != named
        {
            return Err(refused(&format!("its ARN is one of {own}, not of {named}")));
        }
        Ok(Self {
            id: id.to_owned(),
            form,
            region: own.or(named).map(str::to_owned),
        })
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match (self.form, &self.region) {
            (Form::Id | Form::Alias, Some(region)) => write!(f, "@{region}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KmsKey({self})")
    }
}

/// Whether two key ARNs name the same key: the same text, or copies of one multi-region key, which open each other's
/// ciphertexts.
pub(crate) fn is_same_key(one: &str, other: &str) -> bool {
    let (Some(left), Some(right)) = (Arn::parse(one), Arn::parse(other)) else {
        return false;
    };
    one == other
        || (left.resource == right.resource
            && left.resource.starts_with("key/mrk-")
            && (left.partition, left.account) == (right.partition, right.account))
}

/// Whether this is the ARN of a key, not of an alias.
pub(crate) fn is_key_arn(text: &str) -> bool {
    key_id_of(text).is_some()
}

fn key_id_of(arn: &str) -> Option<&str> {
    let id = Arn::parse(arn)?.resource.strip_prefix("key/")?;
    is_key_id(id).then_some(id)
}

fn parse_id(id: &str) -> Result<(Form, Option<&str>), &'static str> {
    if id.starts_with("arn:") {
        let arn = Arn::parse(id).ok_or("it is not an ARN of KMS, arn:PARTITION:kms:REGION:ACCOUNT:key/ID")?;
        return if is_key_arn(id) {
            Ok((Form::KeyArn, Some(arn.region)))
        } else if arn.resource.strip_prefix("alias/").is_some_and(is_alias_name) {
            Ok((Form::AliasArn, Some(arn.region)))
        } else {
            Err("its ARN is neither one of a key nor one of an alias")
        };
    }
    match id.strip_prefix("alias/") {
        Some(name) if is_alias_name(name) => Ok((Form::Alias, None)),
        Some(_) => Err("an alias has 1 to 250 letters, digits and any of :/_-"),
        None if is_key_id(id) => Ok((Form::Id, None)),
        None => Err("it is neither an ARN nor a key id, and an alias begins with alias/"),
    }
}

struct Arn<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    /// `None` unless it is an ARN of KMS.
    fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.splitn(6, ':');
        let mut next = || fields.next();
        let (Some("arn"), Some(partition), Some("kms")) = (next(), next(), next()) else {
            return None;
        };
        let (region, account, resource) = (next()?, next()?, next()?);
        let is_partition = partition == "aws" || partition.starts_with("aws-") && is_word(partition);
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        (is_partition && is_region(region) && is_account).then_some(Self {
            partition,
            region,
            account,
            resource,
        })
    }
}

/// The client puts it into a host name.
fn is_region(text: &str) -> bool {
    is_word(text) && text.contains('-') && !text.starts_with('-') && !text.ends_with('-')
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// A UUID, or `mrk-` and 32 hexadecimal digits.
fn is_key_id(id: &str) -> bool {
    let is_hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digits) = id.strip_prefix("mrk-") {
        return is_hex(digits, 32);
    }
    let lens = [8, 4, 4, 4, 12];
    id.split('-').count() == lens.len() && id.split('-').zip(lens).all(|(part, len)| is_hex(part, len))
}

fn is_alias_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte);
    (1..=250).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const MRK: &str = "mrk-1234abcd12ab34cd56ef1234567890ab";

    fn arn(region: &str, resource: &str) -> String {
        format!("arn:aws:kms:{region}:111122223333:{resource}")
    }

    fn key(text: &str) -> KmsKey {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_is_understood_and_shown_as_it_was_given() {
        let key_arn = arn("eu-west-1", &format!("key/{ID}"));
        let alias_arn = arn("eu-west-1", "alias/a/b:c_d-E");
        for (text, id, region) in [
            (&*key_arn, &*key_arn, Some("eu-west-1")),
            (&alias_arn, &alias_arn, Some("eu-west-1")),
            (ID, ID, None),
            (MRK, MRK, None),
            ("alias/x", "alias/x", None),
            ("alias/aws/s3", "alias/aws/s3", None),
            ("alias/x@us-gov-west-1", "alias/x", Some("us-gov-west-1")),
            (&format!("{ID}@cn-north-1"), ID, Some("cn-north-1")),
        ] {
            let key = key(text);
            assert_eq!((key.id(), key.region()), (id, region));
            assert_eq!(key.to_string(), text);
        }
        assert_eq!(key(&format!("{key_arn}@eu-west-1")).to_string(), key_arn);
        for partition in ["aws-cn", "aws-us-gov", "aws-eusc"] {
            assert!(key(&key_arn.replace(":aws:", &format!(":{partition}:"))).is_key_arn());
        }
    }

    proptest! {
        /// Most texts of these parts are nearly keys.
        #[test]
        fn any_text_is_refused_or_names_a_key_that_is_shown_as_the_same_key(
            parts in prop::collection::vec(part(), 0..8)
        ) {
            let text = parts.concat();
            if let Ok(key) = text.parse::<KmsKey>() {
                prop_assert_eq!(&key.to_string().parse::<KmsKey>().unwrap(), &key);
                prop_assert!(text.starts_with(key.id()));
                prop_assert_eq!(key.is_key_arn(), is_key_arn(key.id()));
            }
        }
    }

    fn part() -> impl Strategy<Value = String> {
        let owner = "arn:aws:kms:eu-west-1:111122223333:";
        let known = [
            owner,
            "arn:aws-cn:kms:",
            "key/",
            "alias/",
            "mrk-",
            ID,
            MRK,
            "@",
            "eu-west-1",
            ":",
            "a",
        ];
        prop_oneof![
            prop::sample::select(known.to_vec()).prop_map(str::to_owned),
            "\\PC{0,3}"
        ]
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let key_arn = arn("eu-west-1", &format!("key/{ID}"));
        for (text, reason) in [
            ("", "begins with alias/"),
            ("backups", "begins with alias/"),
            ("alias/", "an alias has"),
            ("alias/a b", "an alias has"),
            ("alias/x@", "not a region"),
            ("alias/x@evil.example.org/", "not a region"),
            ("alias/x@eu-west-1@us-east-1", "an alias has"),
            (&ID[1..], "begins with alias/"),
            (&format!("{key_arn}@us-east-1"), "one of eu-west-1, not of us-east-1"),
            (&key_arn.replace("kms", "s3"), "not an ARN of KMS"),
            (&key_arn.replace(":aws:", ":azure:"), "not an ARN of KMS"),
            (&key_arn.replace("111122223333", "1"), "not an ARN of KMS"),
            (&key_arn.replace("key/", "table/"), "neither one of a key"),
            (&key_arn.replace(ID, "*"), "neither one of a key"),
            (&arn("eu-west-1", "alias/"), "neither one of a key"),
            ("alias/\u{1b}[2J", "an alias has"),
        ] {
            let error = text.parse::<KmsKey>().unwrap_err();
            assert_eq!(error.class, ProviderErrorClass::Configuration);
            assert!(error.message.contains(reason), "{error}");
            assert!(!error.message.contains('\u{1b}'));
        }
    }

    #[test]
    fn an_arn_knows_its_slots_and_an_alias_leaves_it_to_kms() {
        let [own, other] = ["eu-west-1", "us-east-1"].map(|region| arn(region, &format!("key/{ID}")));
        assert_eq!(key(&own).matches(&own), KeyMatch::Yes);
        assert!(matches!(key(&own).matches(&other), KeyMatch::No(Some(reason)) if reason.contains(&other)));
        for maybe in [ID, "alias/x", &arn("eu-west-1", "alias/x")] {
            assert_eq!(key(maybe).matches(&own), KeyMatch::Maybe);
        }
        assert!(matches!(key(MRK).matches(&own), KeyMatch::No(_)));
        for elsewhere in [
            &format!("{ID}@us-east-1"),
            "alias/x@us-east-1",
            &arn("us-east-1", "alias/x"),
        ] {
            assert!(matches!(key(elsewhere).matches(&own), KeyMatch::No(_)), "{elsewhere}");
        }
        let stranger = own.replace("111122223333", "444455556666");
        assert!(matches!(
            key(&arn("eu-west-1", "alias/x")).matches(&stranger),
            KeyMatch::No(_)
        ));
        assert_eq!(key("alias/x@eu-west-1").matches(&stranger), KeyMatch::Maybe);

        // Copies of a multi-region key are one key; that of another account is not.
        let [here, there] = ["eu-west-1", "us-east-1"].map(|region| arn(region, &format!("key/{MRK}")));
        assert_eq!(key(&here).matches(&there), KeyMatch::Yes);
        assert_eq!(key("alias/x@eu-west-1").matches(&there), KeyMatch::Maybe);
        let foreign = there.replace("111122223333", "444455556666");
        assert!(matches!(key(&here).matches(&foreign), KeyMatch::No(_)));
        assert!(matches!(key(&here).matches("no ARN"), KeyMatch::No(_)));
    }
}
