//! The checks, one function each.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use base64ct::{Base64, Encoding};

use super::slots::{damaged, other_contexts, renamed, same_pairs};
use super::{Conformance, panic_message};
use crate::data_key::DataKey;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::{WrappedKey, check_slots};
use crate::hex;
use crate::keys::{BoxFuture, GeneratedKey, KeyMatch, KeyProvider};

/// A check. The error says what the provider did.
pub(super) type Check = fn(&Conformance<'_>) -> Result<(), String>;

/// The checks by their names.
pub(super) const CHECKS: [(&str, Check); 13] = [
    ("ids", ids),
    ("round trip", round_trip),
    ("slot fits a header", slot_fits_a_header),
    ("resolved key id", resolved_key_id),
    ("matches", matches),
    ("context is bound", context_is_bound),
    ("other key is refused", other_key_is_refused),
    ("same key elsewhere", same_key_elsewhere),
    ("damaged slots are refused", damaged_slots_are_refused),
    ("rewrap and rebind", rewrap_and_rebind),
    ("futures", futures),
    ("secrets are not shown", secrets_are_not_shown),
    ("concurrent calls", concurrent_calls),
];

/// The id is one that a slot can have, and the other providers have the same id.
fn ids(suite: &Conformance<'_>) -> Result<(), String> {
    let id = suite.provider.id();
    let slot = WrappedKey::new(id, "key", [0]);
    check_slots(&[slot]).map_err(|_| format!("{id:?} is not 1 to 32 lower-case letters, digits and '-'"))?;
    for other in [Some(suite.other), suite.twin].into_iter().flatten() {
        if other.id() != id {
            return Err(format!("a provider of the same kind has another id, {:?}", other.id()));
        }
    }
    Ok(())
}

/// Data keys survive wrapping, and generated ones are new.
fn round_trip(suite: &Conformance<'_>) -> Result<(), String> {
    let [first, second] = [generate(suite)?, generate(suite)?];
    if same(&first.data_key, &second.data_key) || first.data_key.expose() == &[0; 32] {
        return Err("generate_key returned the same key twice, or zeros".to_owned());
    }
    for generated in [&first, &second] {
        opens(suite, suite.provider, &generated.wrapped, &generated.data_key)?;
    }
    let data_key = random()?;
    let wrapped = wrap(suite, &data_key)?;
    opens(suite, suite.provider, &wrapped, &data_key)?;
    opens(suite, suite.provider, &first.wrapped, &first.data_key)
}

/// Slots that the provider creates can be stored in a header.
fn slot_fits_a_header(suite: &Conformance<'_>) -> Result<(), String> {
    for slot in [generate(suite)?.wrapped, wrap(suite, &random()?)?] {
        if slot.provider != suite.provider.id() {
            return Err(format!("a slot names the provider {:?}", slot.provider));
        }
        if slot.ciphertext.is_empty() {
            return Err("a wrapped key is empty".to_owned());
        }
        check_slots(&[slot]).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Slots of one key have one key id, however the provider was created. Guessable keys are exempt: their key id contains
/// a salt.
fn resolved_key_id(suite: &Conformance<'_>) -> Result<(), String> {
    let generated = generate(suite)?.wrapped;
    if is_guessable(suite.provider, &generated) {
        return Ok(());
    }
    let mut slots = vec![wrap(suite, &random()?)?];
    if let Some(twin) = suite.twin {
        slots.push(call(twin.generate_key(&suite.context))?.wrapped);
    }
    match slots.iter().find(|slot| slot.key_id != generated.key_id) {
        Some(slot) => Err(format!(
            "slots of one key have the key ids {:?} and {:?}",
            generated.key_id, slot.key_id
        )),
        None => Ok(()),
    }
}

/// Own slots match, and the provider does not claim to have the key of another one's slots.
fn matches(suite: &Conformance<'_>) -> Result<(), String> {
    let own = generate(suite)?.wrapped;
    for provider in [Some(suite.provider), suite.twin].into_iter().flatten() {
        if let KeyMatch::No(reason) = provider.matches(&own) {
            return Err(format!("No({reason:?}) for a slot of its own key"));
        }
    }
    let foreign = call(suite.other.generate_key(&suite.context))?.wrapped;
    if suite.provider.matches(&foreign) == KeyMatch::Yes {
        return Err("Yes for a slot of another key".to_owned());
    }
    let hostile = renamed(&own).into_iter().chain(damaged(&own, suite.samples.min(16)));
    for (_, slot) in hostile {
        let (one, two) = (suite.provider.matches(&slot), suite.provider.matches(&slot));
        if one != two {
            return Err(format!("{one:?}, and then {two:?}, for one slot"));
        }
    }
    Ok(())
}

/// A slot opens under the pairs that it was wrapped under, stored or supplied, and under no others.
fn context_is_bound(suite: &Conformance<'_>) -> Result<(), String> {
    let data_key = random()?;
    for slot in [wrap(suite, &data_key)?, generate(suite)?.wrapped] {
        for (what, context) in other_contexts(&suite.context) {
            match poll(suite.provider.unwrap_key(&slot, &context)) {
                Ok(_) => return Err(format!("a slot opened under a context with {what}")),
                Err(error) if error.class == ProviderErrorClass::BadCiphertext => {}
                Err(error) => {
                    let class = error.class;
                    return Err(format!(
                        "a context with {what} was refused as {class:?}, not BadCiphertext: {error}"
                    ));
                }
            }
        }
    }
    let slot = wrap(suite, &data_key)?;
    for context in same_pairs(&suite.context) {
        call(suite.provider.unwrap_key(&slot, &context))
            .map_err(|error| format!("unwrapping depends on which pairs are stored: {error}"))?;
    }
    Ok(())
}

/// Neither of two keys opens the other's slots.
fn other_key_is_refused(suite: &Conformance<'_>) -> Result<(), String> {
    use ProviderErrorClass::{BadCiphertext, Denied, NotFound, OtherKey};
    for (from, to) in [(suite.provider, suite.other), (suite.other, suite.provider)] {
        let slot = call(from.generate_key(&suite.context))?.wrapped;
        match poll(to.unwrap_key(&slot, &suite.context)) {
            Ok(_) => return Err("another key opened a slot".to_owned()),
            Err(error) if matches!(error.class, BadCiphertext | OtherKey | NotFound | Denied) => {}
            Err(error) => {
                let class = error.class;
                return Err(format!(
                    "another key's slot was refused as {class:?}, not as BadCiphertext, OtherKey, NotFound or Denied: {error}"
                ));
            }
        }
    }
    Ok(())
}

/// Two handles of one key open each other's slots.
fn same_key_elsewhere(suite: &Conformance<'_>) -> Result<(), String> {
    let Some(twin) = suite.twin else { return Ok(()) };
    for (from, to) in [(suite.provider, twin), (twin, suite.provider)] {
        let generated = call(from.generate_key(&suite.context))?;
        opens(suite, to, &generated.wrapped, &generated.data_key)?;
    }
    Ok(())
}

/// Slots whose bytes or names were changed do not open, and the errors are not retryable.
fn damaged_slots_are_refused(suite: &Conformance<'_>) -> Result<(), String> {
    let slot = wrap(suite, &random()?)?;
    for (what, slot) in damaged(&slot, suite.samples).into_iter().chain(renamed(&slot)) {
        match poll(suite.provider.unwrap_key(&slot, &suite.context)) {
            Ok(_) => return Err(format!("a slot opened although it was damaged: {what}")),
            Err(error) if error.is_retryable() => {
                return Err(format!("a damaged slot ({what}) caused a retryable error: {error}"));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// Slots move to another context, keep their data key, and can be moved only from the context they are wrapped under.
fn rewrap_and_rebind(suite: &Conformance<'_>) -> Result<(), String> {
    let to = suite.context.clone().with("conformance-moved", "to");
    let data_key = random()?;
    let slot = wrap(suite, &data_key)?;
    let provider = suite.provider;
    let rewrapped = call(provider.rewrap_key(&slot, &suite.context, &to))?;
    let rebound = call(provider.rebind_key(&slot, &suite.context, &to))?;
    for (name, moved) in [("rewrap_key", &rewrapped), ("rebind_key", &rebound)] {
        let opened = call(provider.unwrap_key(moved, &to)).map_err(|error| format!("after {name}: {error}"))?;
        if !same(&opened, &data_key) {
            return Err(format!("{name} changed the data key"));
        }
        if poll(provider.unwrap_key(moved, &suite.context)).is_ok() {
            return Err(format!("after {name} the slot opens under the old context"));
        }
        if moved.provider != provider.id() {
            return Err(format!("{name} made a slot of the provider {:?}", moved.provider));
        }
    }
    if rebound.key_id != slot.key_id && !is_guessable(provider, &slot) {
        return Err(format!(
            "rebind_key moved a slot of {:?} to {:?}",
            slot.key_id, rebound.key_id
        ));
    }
    for moved in [
        poll(provider.rewrap_key(&slot, &to, &suite.context)),
        poll(provider.rebind_key(&slot, &to, &suite.context)),
    ] {
        if moved.is_ok() {
            return Err("a slot was moved from a context that it was not wrapped under".to_owned());
        }
    }
    Ok(())
}

/// Futures may be dropped at any time, and run without a runtime, also on another thread than they began on.
fn futures(suite: &Conformance<'_>) -> Result<(), String> {
    let generated = generate(suite)?;
    drop(suite.provider.unwrap_key(&generated.wrapped, &suite.context));
    let mut dropped = suite.provider.generate_key(&suite.context);
    let _ = poll_once(&mut dropped);
    drop(dropped);

    let mut begun = suite.provider.unwrap_key(&generated.wrapped, &suite.context);
    let opened = match poll_once(&mut begun) {
        Poll::Ready(result) => result,
        Poll::Pending => thread::scope(|scope| joined(scope.spawn(|| poll(begun))))?,
    };
    match opened {
        Ok(opened) if same(&opened, &generated.data_key) => Ok(()),
        Ok(_) => Err("a call that moved to another thread returned another key".to_owned()),
        Err(error) => Err(format!("a call that moved to another thread failed: {error}")),
    }
}

/// Wrapped keys, errors and `Debug` output do not contain the data key.
fn secrets_are_not_shown(suite: &Conformance<'_>) -> Result<(), String> {
    let data_key = random()?;
    let slot = wrap(suite, &data_key)?;
    let forms = Forms::of(&data_key);
    if forms.are_in(&String::from_utf8_lossy(&slot.ciphertext)) || contains(&slot.ciphertext, &data_key.expose()[..8]) {
        return Err("a wrapped key contains the data key".to_owned());
    }
    let mut texts = vec![format!("{:?} {slot:?} {}", suite.provider, slot.key_id)];
    let wrong = suite.context.clone().with("conformance-more", "");
    let mut refused = vec![
        poll(suite.provider.unwrap_key(&slot, &wrong)).err(),
        poll(suite.other.unwrap_key(&slot, &suite.context)).err(),
        poll(suite.provider.rewrap_key(&slot, &wrong, &suite.context)).err(),
        poll(suite.provider.rebind_key(&slot, &wrong, &suite.context)).err(),
    ];
    for (_, slot) in damaged(&slot, suite.samples.min(4)).into_iter().chain(renamed(&slot)) {
        texts.push(format!("{:?}", suite.provider.matches(&slot)));
        refused.push(poll(suite.provider.unwrap_key(&slot, &suite.context)).err());
    }
    texts.extend(refused.iter().flatten().map(shown));
    match texts.iter().any(|text| forms.are_in(text)) {
        true => Err("an error or a Debug text shows the data key".to_owned()),
        false => Ok(()),
    }
}

/// Concurrent calls do not return each other's keys.
fn concurrent_calls(suite: &Conformance<'_>) -> Result<(), String> {
    let one_after_another = || -> Result<(), String> {
        let data_key = random()?;
        let wrapped = wrap(suite, &data_key)?;
        let generated = generate(suite)?;
        opens(suite, suite.provider, &wrapped, &data_key)?;
        opens(suite, suite.provider, &generated.wrapped, &generated.data_key)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..suite.threads).map(|_| scope.spawn(one_after_another)).collect();
        threads.into_iter().try_for_each(|thread| joined(thread)?)
    })
}

/// The forms in which a key could be shown.
struct Forms(Vec<String>);

impl Forms {
    /// About a quarter of the key counts as shown.
    fn of(key: &DataKey) -> Self {
        let start = &key.expose()[..9];
        let list = |separator: &str| {
            let bytes = start.iter().map(ToString::to_string);
            bytes.collect::<Vec<_>>().join(separator)
        };
        Self(vec![
            hex::encode(start),
            hex::encode(start).to_uppercase(),
            Base64::encode_string(start),
            list(", "),
            list(","),
        ])
    }

    fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|form| text.contains(form))
    }
}

/// Everything that an error may be printed as, with its causes.
fn shown(error: &ProviderError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn generate(suite: &Conformance<'_>) -> Result<GeneratedKey, String> {
    call(suite.provider.generate_key(&suite.context))
}

fn wrap(suite: &Conformance<'_>, data_key: &DataKey) -> Result<WrappedKey, String> {
    call(suite.provider.wrap_key(data_key, &suite.context))
}

/// Checks that `provider` opens the slot, and that the slot has this key.
fn opens(
    suite: &Conformance<'_>,
    provider: &dyn KeyProvider,
    slot: &WrappedKey,
    data_key: &DataKey,
) -> Result<(), String> {
    let opened = call(provider.unwrap_key(slot, &suite.context))?;
    if same(&opened, data_key) {
        return Ok(());
    }
    Err(format!("{} unwrapped to another key", slot.name()))
}

fn is_guessable(provider: &dyn KeyProvider, slot: &WrappedKey) -> bool {
    matches!(provider.matches(slot), KeyMatch::Guessable(_))
}

fn same(one: &DataKey, other: &DataKey) -> bool {
    one.expose() == other.expose()
}

fn random() -> Result<DataKey, String> {
    DataKey::random().map_err(|error| error.to_string())
}

/// A call that must succeed.
fn call<T>(future: BoxFuture<'_, Result<T, ProviderError>>) -> Result<T, String> {
    poll(future).map_err(|error| format!("a call failed: {error}"))
}

fn poll<T>(future: BoxFuture<'_, Result<T, ProviderError>>) -> Result<T, ProviderError> {
    pollster::block_on(future)
}

fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T, String> {
    let result = thread.join();
    result.map_err(|panic| format!("a call panicked: {}", panic_message(panic.as_ref())))
}
