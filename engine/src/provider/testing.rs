//! What every local provider must hold, for their tests.

use super::KeyProvider;
use crate::context::EncryptionContext;
use crate::error::ProviderErrorClass;
use crate::header::WrappedKey;
use crate::keys::DataKey;

fn context() -> EncryptionContext {
    EncryptionContext::new().with("a", "1").with_supplied("b", "2")
}

/// Generate, wrap and rewrap give slots that match and unwrap to the same data key.
pub(crate) fn assert_round_trips(provider: &dyn KeyProvider) {
    let (from, to) = (context(), EncryptionContext::new());
    let generated = pollster::block_on(provider.generate(&from)).unwrap();
    let again = pollster::block_on(provider.wrap(&generated.data_key, &from)).unwrap();
    let moved = pollster::block_on(provider.rewrap(&generated.wrapped, &from, &to)).unwrap();
    assert_ne!(again.ciphertext, generated.wrapped.ciphertext);
    for (wrapped, context) in [(&generated.wrapped, &from), (&again, &from), (&moved, &to)] {
        assert_eq!(wrapped.provider, provider.id());
        assert_eq!(provider.matches(wrapped), super::KeyMatch::Yes);
        let opened = pollster::block_on(provider.unwrap(wrapped, context)).unwrap();
        assert_eq!(opened.expose(), generated.data_key.expose());
    }
}

/// Another context, a slot renamed in either part, and altered bytes are refused as `BadCiphertext`.
pub(crate) fn assert_binds_names_and_context(provider: &dyn KeyProvider) {
    let data_key = DataKey::random().unwrap();
    let wrapped = pollster::block_on(provider.wrap(&data_key, &context())).unwrap();
    let assert_refused = |wrapped: &WrappedKey, context: &EncryptionContext| {
        let error = pollster::block_on(provider.unwrap(wrapped, context)).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::BadCiphertext, "{error}");
    };
    for other in [
        EncryptionContext::new(),
        context().with("a", "2"),
        context().with("c", ""),
    ] {
        assert_refused(&wrapped, &other);
    }
    for provider_id in ["local", "raw", "passphrase", "other"] {
        if provider_id != provider.id() {
            let renamed = WrappedKey {
                provider: provider_id.to_owned(),
                ..wrapped.clone()
            };
            assert_refused(&renamed, &context());
        }
    }
    for index in [0, 24, 71] {
        let mut altered = wrapped.clone();
        altered.ciphertext[index] ^= 1;
        assert_refused(&altered, &context());
    }
    let mut cut = wrapped.clone();
    cut.ciphertext.pop();
    assert_refused(&cut, &context());
}
