//! `sealstone rewrap`: slots and context, in place: in the file, or in the metadata of an object in a store.

use std::fs::File;
use std::path::{Path, PathBuf};

use sealstone::rewrap::{LockedObject, Rewrapped, SlotChoice};
use sealstone::{Decryptor, EncryptionContext, Executor, ExpectedContext, Header, ObjectHeader, Rewrap};

use super::prefix;
use crate::args::{Common, RewrapArgs};
use crate::exit::{Code, Failure};
use crate::io::{
    self, Body, Bulk, Descriptor, Input, Object, Operation, Roles, StoreUrl, StoredObject, is_block_device, is_standard,
};
use crate::keys::{KeyOptions, Provider, ReadingKeys, SealingKeys, SlotSpec, add_keys, keys_to_replace, slots_of};
use crate::report::{HeaderOutcome, InputName, Report, named_faults};
use crate::sys;

const COMMAND: &str = "rewrap";
/// How often the file of a name is opened again because another one has taken the name.
const MOST_TRIES: usize = 5;

/// Rewraps the objects; returns the exit code.
pub(crate) fn run(args: &RewrapArgs, common: &Common, report: &Report) -> u8 {
    if args.all.prefix.recursive {
        return prefix::run(all(args, common, report), COMMAND, report);
    }
    match Rewrapping::new(args, common, report) {
        Ok(mut rewrapping) => {
            let inputs = args.inputs.clone();
            let work = |input: PathBuf| rewrapping.rewrap(&input);
            let code = io::try_all(report, COMMAND, false, inputs, PathBuf::as_path, work);
            rewrapping.sum_up();
            code
        }
        Err(failure) => super::finish(report, COMMAND, Err(failure)),
    }
}

/// The same for all objects under a prefix: `--to` takes the place of `--key`, and further keys can be added.
fn all<'a>(args: &'a RewrapArgs, common: &Common, report: &Report) -> Result<prefix::Run<'a>, Failure> {
    let [accept, place] = args.offer.single();
    let others = [
        accept,
        place,
        ("--remove", !args.remove.is_empty()),
        ("--set-context", !args.context.stored.is_empty()),
        ("--set-context-supplied", !args.context.supplied.is_empty()),
        ("--clear-context", args.context.clear_context),
        ("--drop-unreachable", args.drop_unreachable),
        ("--without-opening", args.without_opening),
    ];
    let url = prefix::prefix_of(&args.inputs, &others)?;
    let Some(to) = &args.to else {
        return Err(Failure::usage(
            "--recursive replaces keys: name them with --key OLD and --to NEW",
        ));
    };
    roles(args, common).check(report.is_json())?;
    let new: Vec<_> = [to].into_iter().chain(&args.add).cloned().collect();
    let keys = SealingKeys::new(&new, &common.keys, report);
    let keys = keys.in_place_of(&args.offer.keys).providers()?.to_vec();
    let mut bulk = Bulk::new(Operation::Rewrap, keys, Executor::serial())?;
    bulk.opening = keys_to_replace(&args.offer.keys, &common.keys)?;
    bulk.context = super::exact(&args.offer)?;
    bulk.unconditional = args.all.unconditional;
    Ok(prefix::Run::new(COMMAND, "rewrapped", url, bulk, &args.all.prefix))
}

/// What is changed, and with which keys.
struct Rewrapping<'a> {
    args: &'a RewrapArgs,
    options: &'a KeyOptions,
    report: &'a Report,
    old: ReadingKeys<'a>,
    expected: ExpectedContext,
    to: Option<Provider>,
    added: Vec<Provider>,
    context: Option<EncryptionContext>,
    /// How many objects are as asked for now, and how many of these were so before.
    done: usize,
    unchanged: usize,
}

impl<'a> Rewrapping<'a> {
    fn new(args: &'a RewrapArgs, common: &'a Common, report: &'a Report) -> Result<Self, Failure> {
        if args.inputs.iter().any(|input| is_standard(input)) {
            return Err(Failure::usage("standard input cannot be changed in place; name files"));
        }
        roles(args, common).check(report.is_json())?;
        // By its name, the file could be opened for more than the descriptor was.
        for descriptor in args.inputs.iter().filter_map(|input| Descriptor::named(input)) {
            drop(descriptor.writing()?);
        }
        let made = |specs: &[_]| -> Result<Vec<Provider>, Failure> {
            // No specs would mean the default key.
            if specs.is_empty() {
                return Ok(Vec::new());
            }
            let keys = SealingKeys::new(specs, &common.keys, report);
            Ok(keys.in_place_of(&args.offer.keys).providers()?.to_vec())
        };
        Ok(Self {
            args,
            options: &common.keys,
            report,
            old: ReadingKeys::new(&args.offer.keys, &common.keys, report),
            expected: super::expected(&args.offer)?,
            to: made(args.to.as_slice())?.pop(),
            added: made(&args.add)?,
            context: super::new_context(&args.context)?,
            done: 0,
            unchanged: 0,
        })
    }

    /// A summary for people; scripts count the lines of JSON.
    fn sum_up(&self) {
        let inputs = self.args.inputs.len();
        if inputs > 1 && !self.report.is_json() {
            self.report.sum(&format!(
                "{} of {inputs} are as asked for: {} changed, {} already; {} are not",
                self.done,
                self.done - self.unchanged,
                self.unchanged,
                inputs - self.done
            ));
        }
    }

    fn rewrap(&mut self, input: &Path) -> Result<(), Failure> {
        if StoreUrl::of(input).is_some() {
            let object = Object::read(Input::open(input)?, None, None)?;
            return self.rewrap_stored(&object.header, stored(&object)?, input);
        }
        // While the lock was waited for, another file may have been given the object's name.
        for _ in 0..MOST_TRIES {
            let file = open_in_place(input)?;
            let locked = LockedObject::lock(&file, LockedObject::DEFAULT_WAIT)?;
            let opened = sys::FileId::of_file(&file);
            if opened.is_none_or(|opened| sys::FileId::of_path(input) == Some(opened)) {
                return self.rewrap_locked(locked, input);
            }
        }
        let message = "other files keep taking the object's name; try again when nothing replaces it";
        Err(Failure::new(Code::Temporary, message))
    }

    /// Which slots are meant is decided by the header that the lock protects: another rewrap may have just ended.
    fn rewrap_locked(&mut self, locked: LockedObject<'_>, input: &Path) -> Result<(), Failure> {
        let name = io::display(input);
        let rewrap = self.plan(locked.header(), &name)?;
        let rewrapped = locked.rewrap(&rewrap).map_err(Failure::from);
        let rewrapped = rewrapped.inspect_err(|failure| self.old.forget_if_wrong(failure))?;
        for slot in &rewrapped.dropped {
            self.report.note(&format!("{name}: dropped slot {slot}"));
        }
        let Rewrapped {
            header,
            changed,
            repaired,
            ..
        } = rewrapped;
        self.report_done(input, &header, changed, named_faults(&repaired))
    }

    /// No lock: the header is replaced only if the object is still the one that it was read from.
    fn rewrap_stored(&mut self, header: &ObjectHeader, object: &dyn StoredObject, input: &Path) -> Result<(), Failure> {
        let name = io::display(input);
        let rewrap = self.plan(header, &name)?;
        let new = rewrap.header(header.header()).map_err(Failure::from);
        let new = new.inspect_err(|failure| self.old.forget_if_wrong(failure))?;
        if let Some(new) = &new {
            object.replace_header(new)?;
        }
        self.report_done(
            input,
            new.as_ref().unwrap_or_else(|| header.header()),
            new.is_some(),
            Vec::new(),
        )
    }

    fn report_done(
        &mut self,
        input: &Path,
        header: &Header,
        changed: bool,
        repaired: Vec<String>,
    ) -> Result<(), Failure> {
        self.done += 1;
        if !changed && repaired.is_empty() {
            self.unchanged += 1;
        }
        self.report.header_outcome(&outcome(input, header, changed, repaired))
    }

    /// The changes to this object.
    fn plan(&mut self, header: &ObjectHeader, name: &str) -> Result<Rewrap, Failure> {
        let header = header.header();
        let keys = self.offered(header, name)?;
        let calls = super::max_calls(&keys);
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or_else(|| Failure::usage("no key was given"))?;
        let decryptor = Decryptor::new(first)
            .with_context(self.expected.clone())
            .with_max_provider_calls(calls);
        let mut rewrap = Rewrap::new(keys.fold(decryptor, Decryptor::with_key));
        if let Some(to) = &self.to {
            let specs = self.args.offer.keys.iter().cloned().map(SlotSpec::Of);
            let old: Result<_, Failure> = specs.map(|spec| slots_of(&spec, header, self.options)).collect();
            rewrap = rewrap.replace(SlotChoice::Any(old?), to.clone());
        }
        rewrap = self.added.iter().cloned().fold(rewrap, Rewrap::add_key);
        for spec in &self.args.remove {
            rewrap = rewrap.remove(slots_of(spec, header, self.options)?);
        }
        if let Some(context) = &self.context {
            rewrap = rewrap.with_context(context.clone());
        }
        if self.args.drop_unreachable {
            rewrap = rewrap.drop_unreachable();
        }
        if self.args.without_opening {
            rewrap = rewrap.without_opening();
        }
        Ok(rewrap)
    }

    /// The keys to open the object with: also the new ones, as it may have been rewrapped before.
    fn offered(&mut self, header: &Header, name: &str) -> Result<Vec<Provider>, Failure> {
        let new: Vec<_> = self.to.iter().chain(&self.added).cloned().collect();
        // It may be bound to the new context already, which a key that opens it finds out.
        let context = self.expected.resolve(header.context()).ok();
        match self.old.for_object(header, context.as_ref(), name) {
            Ok(old) => Ok([old, new].concat()),
            Err(failure) if failure.code == Code::NoAccess && !new.is_empty() => Ok(new),
            Err(failure) => Err(failure),
        }
    }
}

/// What is read. The objects are read and written, each by itself.
fn roles(args: &RewrapArgs, common: &Common) -> Roles {
    let mut roles = Roles::new(&args.inputs, None);
    let removed = args.remove.iter().filter_map(|spec| match spec {
        SlotSpec::Of(spec) => Some(spec),
        SlotSpec::Named(_) => None,
    });
    let named = args.offer.keys.iter().chain(&args.to).chain(&args.add).chain(removed);
    let named: Vec<_> = named.cloned().collect();
    add_keys(&mut roles, &named, &common.keys);
    roles
}

/// Opens the file for reading and writing, once: what is read and what is written are one file.
fn open_in_place(input: &Path) -> Result<File, Failure> {
    // Names what is wrong with a directory, or with a name that leads nowhere.
    let read = Input::open(input)?;
    let metadata = read.opened().and_then(|opened| opened.metadata().ok());
    let is_device = metadata.is_some_and(|metadata| is_block_device(&metadata));
    if read.file().is_none() && !is_device {
        return Err(Failure::usage("it is no file, and cannot be changed in place"));
    }
    let opened = File::options().read(true).write(true).open(input);
    opened.map_err(|error| Failure::io("opening the object for writing", &error))
}

/// The object, if it is one in a store that has its header in its metadata.
fn stored(object: &Object) -> Result<&dyn StoredObject, Failure> {
    let stored = match &object.body {
        Body::File(extent) => extent.stored(),
        Body::Stream(_) => None,
    };
    stored.filter(|_| object.header.payload_start() == 0).ok_or_else(|| {
        Failure::usage(
            "its header is in front of it, which a store cannot replace alone: download it, rewrap the file and upload \
             that, or decrypt it and encrypt it to the store, which puts the header into its metadata",
        )
    })
}

fn outcome(input: &Path, header: &Header, changed: bool, repaired: Vec<String>) -> HeaderOutcome {
    HeaderOutcome {
        command: COMMAND,
        ok: true,
        input: InputName::of(input),
        result: match (changed, repaired.is_empty()) {
            (true, _) => "rewrapped",
            (false, false) => "repaired",
            (false, true) => "unchanged",
        },
        repaired,
        generation: header.generation(),
        slots: header.slots().iter().map(sealstone::format::WrappedKey::name).collect(),
    }
}
