//! Intermediate keys over a provider that counts its calls, and waits and fails on request.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Barrier, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::*;
use crate::context::ExpectedContext;
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::error::Error;
use crate::keys::RawKey;
use crate::testing::Conformance;

/// A raw key as a service would hold it.
#[derive(Debug)]
struct Service {
    key: RawKey,
    calls: AtomicUsize,
    contexts: Mutex<Vec<EncryptionContext>>,
    failing: AtomicBool,
    panicking: AtomicBool,
    /// How long a call takes to answer.
    delay: Duration,
}

impl Service {
    fn new(byte: u8) -> Self {
        Self {
            key: RawKey::from_slice(&[byte; 32]).unwrap(),
            calls: AtomicUsize::new(0),
            contexts: Mutex::default(),
            failing: AtomicBool::new(false),
            panicking: AtomicBool::new(false),
            delay: Duration::ZERO,
        }
    }

    /// Slow enough for every thread of a test to arrive and wait.
    fn slow() -> Self {
        Self {
            delay: Duration::from_millis(400),
            ..Self::new(1)
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn answer(&self, context: &EncryptionContext) -> Result<(), ProviderError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.contexts.lock().unwrap().push(context.clone());
        Later(Instant::now() + self.delay).await;
        assert!(!self.panicking.load(Ordering::SeqCst), "on request");
        if self.failing.load(Ordering::SeqCst) {
            return Err(ProviderError::new(ProviderErrorClass::Throttled, "raw", "on request"));
        }
        Ok(())
    }
}

/// Ready at a certain time, woken from another thread.
struct Later(Instant);

impl Future for Later {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let rest = self.0.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        thread::spawn(move || {
            thread::sleep(rest);
            waker.wake();
        });
        Poll::Pending
    }
}

impl KeyProvider for Service {
    fn id(&self) -> &str {
        self.key.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.key.matches(slot)
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            self.answer(context).await?;
            self.key.wrap_key(data_key, context).await
        })
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move {
            self.answer(context).await?;
            self.key.unwrap_key(wrapped, context).await
        })
    }
}

fn over(service: &Arc<Service>) -> IntermediateKeys {
    IntermediateKeys::new(service.clone(), ["bucket"]).unwrap()
}

fn of(bucket: &str, path: &str) -> EncryptionContext {
    EncryptionContext::new().with("bucket", bucket).with("path", path)
}

fn wrap_in(keys: &IntermediateKeys, context: &EncryptionContext) -> Result<WrappedKey, ProviderError> {
    pollster::block_on(keys.generate_key(context)).map(|generated| generated.wrapped)
}

fn unwrap_in(keys: &IntermediateKeys, slot: &WrappedKey, context: &EncryptionContext) -> Result<(), ProviderError> {
    pollster::block_on(keys.unwrap_key(slot, context)).map(drop)
}

/// A clock, and how far it was moved.
fn clock() -> (Arc<Mutex<Duration>>, impl Fn() -> Instant + Send + Sync + 'static) {
    let (start, passed) = (Instant::now(), Arc::<Mutex<Duration>>::default());
    let of_clock = passed.clone();
    (passed, move || start + *of_clock.lock().unwrap())
}

/// The keys that a cache holds, which are wiped on drop, without keeping them.
fn watch(cache: &Cache<Key, ProviderError>) -> Vec<Weak<Entry<Key>>> {
    cache.entries().iter().map(Arc::downgrade).collect()
}

#[test]
fn intermediate_keys_conform() {
    let context = EncryptionContext::new().with("a", "1").with_supplied("b", "2");
    // The scope may name supplied pairs.
    for scope in [&[][..], &["b", "a"]] {
        let [keys, other, twin] =
            [1, 2, 1].map(|byte| IntermediateKeys::new(Arc::new(Service::new(byte)), scope.iter().copied()).unwrap());
        let suite = Conformance::new(&keys, &other).with_twin(&twin);
        suite.with_context(context.clone()).assert();
    }
}

#[test]
fn an_object_round_trips_and_a_scope_with_less_reads_it() {
    let service = Arc::new(Service::new(1));
    let context = of("b", "p");
    let object = Encryptor::new(Arc::new(over(&service)))
        .with_context(context.clone())
        .seal(b"small")
        .unwrap();
    let reader = Arc::new(IntermediateKeys::new(service, ["bucket"; 0]).unwrap());
    let decryptor = Decryptor::new(reader).with_context(ExpectedContext::Exact(context));
    assert_eq!(decryptor.open(&object).unwrap(), b"small");
    let other = Arc::new(over(&Arc::new(Service::new(2))));
    let decryptor = Decryptor::new(other).with_context(ExpectedContext::AcceptStored);
    let Err(Error::NoUsableKey { slots, reasons }) = decryptor.open(&object) else {
        panic!("another inner key does not match");
    };
    assert!(slots[0].starts_with("intermediate:raw:") && reasons[0].contains("wrong key"));
}

/// Anyone who may use the inner key without any pair can make slots for every tenant's objects. A reader of one
/// tenant's objects refuses such slots unless configured otherwise.
#[test]
fn a_slot_whose_scope_lacks_a_required_key_is_refused_by_name() {
    let service = Arc::new(Service::new(1));
    let of_scope = |scope: &[&str]| IntermediateKeys::new(service.clone(), scope.iter().copied()).unwrap();
    let context = of("b", "p");
    let slots = [&[][..], &["path"], &["bucket"], &["bucket", "path"]].map(|scope| {
        let keys = of_scope(scope);
        (scope.len(), wrap_in(&keys, &context).unwrap())
    });
    let takes = |keys: &IntermediateKeys| {
        slots.each_ref().map(|(_, slot)| {
            let unwrapped = unwrap_in(keys, slot, &context);
            match keys.matches(slot) {
                KeyMatch::Yes => unwrapped.unwrap(),
                KeyMatch::No(Some(reason)) => {
                    let names_it = ["bucket", "path", "more"]
                        .iter()
                        .any(|key| reason.contains(&format!("{key:?}")));
                    assert!(names_it && reason.ends_with("required here"), "{reason}");
                    let error = unwrapped.unwrap_err();
                    assert_eq!(
                        (error.class, error.message),
                        (ProviderErrorClass::BadCiphertext, reason)
                    );
                    return false;
                }
                other => panic!("{other:?}"),
            }
            true
        })
    };
    assert_eq!(takes(&of_scope(&[])), [true; 4]);
    assert_eq!(takes(&of_scope(&["bucket"])), [false, false, true, true]);
    assert_eq!(takes(&of_scope(&["bucket", "path"])), [false, false, false, true]);
    // The service was not called for refused slots. The required scope can be changed.
    let calls = service.calls();
    assert!(!takes(&of_scope(&["bucket", "path", "more"])).contains(&true));
    assert_eq!(service.calls(), calls);
    let none: [&str; 0] = [];
    assert_eq!(takes(&of_scope(&["bucket"]).with_required_scope(none)), [true; 4]);
    let path = of_scope(&["bucket"]).with_required_scope(["path"]);
    assert_eq!(takes(&path), [false, true, false, true]);
    // New slots still have the provider's own scope.
    let made = wrap_in(&path, &context).unwrap();
    assert!(unwrap_in(&path, &made, &context).is_err() && unwrap_in(&of_scope(&["bucket"]), &made, &context).is_ok());
}

#[test]
fn an_intermediate_key_is_bound_to_its_scope_and_to_nothing_else_of_the_context() {
    let service = Arc::new(Service::new(1));
    let keys = over(&service);
    for (bucket, path) in [("b", "1"), ("b", "2"), ("c", "1"), ("b", "3"), ("c", "2")] {
        wrap_in(&keys, &of(bucket, path)).unwrap();
    }
    let own = |bucket| {
        EncryptionContext::new()
            .with("bucket", bucket)
            .with("sealstone:key", "intermediate@v1")
    };
    assert_eq!(*service.contexts.lock().unwrap(), [own("b"), own("c")]);
    let error = wrap_in(&keys, &EncryptionContext::new()).unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::Configuration);
    assert!(error.message.contains("bucket"), "{error}");
}

#[test]
fn a_slot_moved_to_another_object_is_refused() {
    let service = Arc::new(Service::new(1));
    let keys = over(&service);
    let slot = wrap_in(&keys, &of("b", "p")).unwrap();
    unwrap_in(&keys, &slot, &of("b", "p")).unwrap();
    for other in [of("b", "q"), of("c", "p"), EncryptionContext::new().with("path", "p")] {
        let error = unwrap_in(&keys, &slot, &other).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::BadCiphertext, "{error}");
    }
    // The local wrap of one slot after the intermediate key of another.
    let fresh = wrap_in(&over(&service), &of("b", "p")).unwrap();
    let local_start = slot.ciphertext.len() - 72;
    let mixed = [&fresh.ciphertext[..local_start], &slot.ciphertext[local_start..]].concat();
    let mixed = WrappedKey {
        ciphertext: mixed,
        ..slot
    };
    let error = unwrap_in(&keys, &mixed, &of("b", "p")).unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::BadCiphertext);
}

#[test]
fn each_flipped_bit_of_an_intermediate_slot_is_refused() {
    let service = Arc::new(Service::new(1));
    let (keys, context) = (over(&service), of("b", "p"));
    let slot = wrap_in(&keys, &context).unwrap();
    for bit in 0..slot.ciphertext.len() * 8 {
        let mut altered = slot.clone();
        altered.ciphertext[bit / 8] ^= 1 << (bit % 8);
        let error = unwrap_in(&keys, &altered, &context).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::BadCiphertext, "bit {bit}: {error}");
    }
    for key_id in ["raw", "", "local:x", &slot.key_id[4..], &format!("{}0", slot.key_id)] {
        let renamed = WrappedKey::new(ID, key_id, &*slot.ciphertext);
        assert!(matches!(keys.matches(&renamed), KeyMatch::No(Some(_))), "{key_id}");
        assert!(unwrap_in(&keys, &renamed, &context).is_err(), "{key_id}");
    }
    assert_eq!(keys.matches(&slot), KeyMatch::Yes);
}

#[test]
fn one_call_serves_a_thousand_objects_and_one_more_their_readers() {
    let service = Arc::new(Service::new(1));
    let keys = over(&service);
    let slots: Vec<_> = (0..1000)
        .map(|n| {
            let context = of("b", &n.to_string());
            (wrap_in(&keys, &context).unwrap(), context)
        })
        .collect();
    assert_eq!(service.calls(), 1);
    for (slot, context) in &slots {
        unwrap_in(&keys, slot, context).unwrap();
    }
    assert_eq!(service.calls(), 2);
    let expected = IntermediateKeyStats {
        hits: 2 * 999,
        misses: 2,
        generate_calls: 1,
        unwrap_calls: 1,
        cached: 2,
    };
    assert_eq!(keys.stats(), expected);
}

#[test]
fn a_key_past_its_age_is_not_used_and_is_wiped() {
    let (passed, now) = clock();
    let service = Arc::new(Service::new(1));
    let keys = over(&service).with_max_age(Duration::from_secs(60)).with_clock(now);
    let context = of("b", "p");
    let slot = wrap_in(&keys, &context).unwrap();
    unwrap_in(&keys, &slot, &context).unwrap();
    *passed.lock().unwrap() = Duration::from_secs(59);
    wrap_in(&keys, &context).unwrap();
    unwrap_in(&keys, &slot, &context).unwrap();
    assert_eq!(service.calls(), 2);

    let held = [watch(&keys.sealing), watch(&keys.reading)].concat();
    assert!(held.len() == 2 && held.iter().all(|key| key.strong_count() == 1));
    *passed.lock().unwrap() = Duration::from_secs(60);
    assert_eq!(keys.drop_expired(), 0);
    assert!(held.iter().all(|key| key.strong_count() == 0));
    wrap_in(&keys, &context).unwrap();
    unwrap_in(&keys, &slot, &context).unwrap();
    assert_eq!(service.calls(), 4);
    assert_eq!(keys.stats().cached, 2);
}

/// Without a call for them: another bucket's seal, long after, drops them.
#[test]
fn expired_keys_of_others_are_dropped_by_the_way() {
    let (passed, now) = clock();
    let keys = over(&Arc::new(Service::new(1))).with_clock(now);
    wrap_in(&keys, &of("b", "p")).unwrap();
    let held = watch(&keys.sealing);
    *passed.lock().unwrap() = Duration::from_secs(300);
    wrap_in(&keys, &of("c", "p")).unwrap();
    assert!(held.len() == 1 && held[0].strong_count() == 0);
}

#[test]
fn a_key_wraps_as_often_as_it_may() {
    let service = Arc::new(Service::new(1));
    let keys = over(&service).with_max_wraps(10);
    for _ in 0..25 {
        wrap_in(&keys, &of("b", "p")).unwrap();
    }
    assert_eq!(service.calls(), 3);
    // Nor more often if many callers wait for it at once.
    let service = Arc::new(Service::slow());
    let keys = over(&service).with_max_wraps(10);
    at_once(30, |_| {
        wrap_in(&keys, &of("b", "p")).unwrap();
    });
    assert_eq!(service.calls(), 3);
}

#[test]
fn the_key_unused_for_longest_makes_room() {
    let service = Arc::new(Service::new(1));
    let keys = over(&service).with_max_cached(2);
    for bucket in ["a", "b", "a", "c", "a"] {
        wrap_in(&keys, &of(bucket, "p")).unwrap();
    }
    assert_eq!((service.calls(), keys.stats().cached), (3, 2));
    wrap_in(&keys, &of("b", "p")).unwrap();
    assert_eq!(service.calls(), 4);
    let keys = over(&service).with_max_cached(0);
    wrap_in(&keys, &of("a", "p")).unwrap();
    assert_eq!(keys.stats().cached, 0);
}

/// Runs `task` on several threads that start at the same time.
fn at_once(threads: usize, task: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for number in 0..threads {
            let (barrier, task) = (&barrier, &task);
            scope.spawn(move || {
                barrier.wait();
                task(number);
            });
        }
    });
}

#[test]
fn threads_that_need_one_key_make_one_call() {
    let service = Arc::new(Service::slow());
    let keys = over(&service);
    at_once(32, |number| {
        wrap_in(&keys, &of("b", &number.to_string())).unwrap();
    });
    assert_eq!(service.calls(), 1);
    let slot = wrap_in(&keys, &of("b", "p")).unwrap();
    at_once(32, |_| unwrap_in(&keys, &slot, &of("b", "p")).unwrap());
    assert_eq!(service.calls(), 2);
    let stats = keys.stats();
    assert_eq!(stats.hits + stats.misses, 65);
}

#[test]
fn a_failed_call_fails_for_all_who_waited_and_is_not_remembered() {
    let service = Arc::new(Service::slow());
    service.failing.store(true, Ordering::SeqCst);
    let keys = over(&service);
    at_once(32, |_| {
        let error = wrap_in(&keys, &of("b", "p")).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::Throttled);
    });
    assert_eq!(service.calls(), 1);
    service.failing.store(false, Ordering::SeqCst);
    wrap_in(&keys, &of("b", "p")).unwrap();
    assert_eq!(service.calls(), 2);
}

#[test]
fn a_call_that_panics_does_so_once_and_fails_for_the_others() {
    let service = Arc::new(Service::slow());
    service.panicking.store(true, Ordering::SeqCst);
    let keys = over(&service);
    let (panics, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    at_once(8, |_| {
        let call = std::panic::AssertUnwindSafe(|| wrap_in(&keys, &of("b", "p")));
        match std::panic::catch_unwind(call) {
            Err(_) => panics.fetch_add(1, Ordering::SeqCst),
            Ok(result) => {
                assert_eq!(result.unwrap_err().class, ProviderErrorClass::Unavailable);
                failures.fetch_add(1, Ordering::SeqCst)
            }
        };
    });
    assert_eq!((panics.into_inner(), failures.into_inner()), (1, 7));
    service.panicking.store(false, Ordering::SeqCst);
    wrap_in(&keys, &of("b", "p")).unwrap();
}

/// The caller that began a call is no longer polled, and then dropped. The others complete the call.
#[test]
fn a_call_does_not_depend_on_the_one_who_began_it() {
    let service = Arc::new(Service::slow());
    let keys = over(&service);
    let (context, mut idle) = (of("b", "p"), Context::from_waker(Waker::noop()));
    let mut stalled = keys.generate_key(&context);
    assert!(stalled.as_mut().poll(&mut idle).is_pending());
    wrap_in(&keys, &context).unwrap();
    assert!(stalled.as_mut().poll(&mut idle).is_ready());
    assert_eq!(service.calls(), 1);

    let other = of("c", "p");
    let mut dropped = keys.generate_key(&other);
    assert!(dropped.as_mut().poll(&mut idle).is_pending());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(wrap_in(&keys, &other).unwrap()));
        thread::sleep(Duration::from_millis(100));
        drop(dropped);
        waiting.join().unwrap();
    });
    assert_eq!(service.calls(), 2);

    // If all callers are dropped, the next one makes a new call.
    let third = of("d", "p");
    let mut left = keys.generate_key(&third);
    assert!(left.as_mut().poll(&mut idle).is_pending());
    drop(left);
    wrap_in(&keys, &third).unwrap();
}

#[test]
fn debug_shows_nothing_of_the_keys() {
    let keys = over(&Arc::new(Service::new(0xAB)));
    wrap_in(&keys, &of("b", "p")).unwrap();
    let secrets: Vec<_> = keys
        .sealing
        .entries()
        .iter()
        .map(|key| format!("{:?}", key.value.secret.expose()))
        .collect();
    let text = format!("{keys:?}");
    assert!(text.contains("bucket") && text.contains("IntermediateKeys"), "{text}");
    assert!(
        !text.contains("171, 171") && secrets.iter().all(|secret| !text.contains(secret)),
        "{text}"
    );
}

#[test]
fn providers_and_scopes_that_make_no_sense_are_refused() {
    #[derive(Debug)]
    struct Named(&'static str, RawKey);
    impl KeyProvider for Named {
        fn id(&self) -> &str {
            self.0
        }
        fn matches(&self, slot: &WrappedKey) -> KeyMatch {
            self.1.matches(slot)
        }
        fn wrap_key<'a>(
            &'a self,
            data_key: &'a DataKey,
            context: &'a EncryptionContext,
        ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
            self.1.wrap_key(data_key, context)
        }
        fn unwrap_key<'a>(
            &'a self,
            wrapped: &'a WrappedKey,
            context: &'a EncryptionContext,
        ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
            self.1.unwrap_key(wrapped, context)
        }
    }
    let named = |id| Arc::new(Named(id, RawKey::from_slice(&[1; 32]).unwrap()));
    for id in [registry::PASSPHRASE, IntermediateKeys::ID] {
        assert!(IntermediateKeys::new(named(id), ["bucket"]).is_err(), "{id}");
    }
    assert!(IntermediateKeys::new(named("kms"), ["sealstone:key"]).is_err());
    assert!(IntermediateKeys::new(named("kms"), [""]).is_err());
    assert!(IntermediateKeys::new(named("kms"), Vec::<String>::new()).is_ok());
}
