//! `CopyObject`: within one key by another header for the same payload, else by opening and sealing.

use hyper::HeaderMap;
use hyper::header::{HeaderValue, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};
use sealstone::Header;
use sealstone::composite::Padding;
use sealstone_s3_sse::{Mode, ServerSide, context_to_header};

use crate::backend::{Attributes, Backend, Condition, Location, StoredObject, Tags};
use crate::objects::{self, CHUNK_SIZE, OpenObject, Plaintext};
use crate::sse::CustomerHeaders;

use super::attributes::requested;
use super::conditions::{ReadConditions, etag, write_condition};
use super::encryption::{Reported, check_policy, report_sse, requested_sse};
use super::reads::check_version;
use super::unsupported::refuse_unsupported;
use super::writes::MAX_PUT;
use super::{Gateway, Target, attributes, checksums, errors};

/// A copy: from where, to where, and what is stored with it.
struct Copying {
    from: Target,
    source: StoredObject,
    source_mode: ServerSide,
    to: Target,
    to_mode: ServerSide,
    attributes: Attributes,
    tags: Option<Tags>,
    condition: Condition,
}

/// What a copy made.
struct Copied {
    etag: String,
    header: Header,
    checksum: Option<objects::Checksum>,
}

impl Gateway {
    pub(super) async fn copy_object(
        &self,
        mut request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = &mut request.input;
        let to = Target::new(&input.bucket, &input.key)?;
        let CopySource::Bucket {
            bucket,
            key,
            version_id,
        } = &input.copy_source
        else {
            return Err(s3_error!(NotImplemented, "The copy source must be a bucket and a key."));
        };
        check_version(version_id.as_deref())?;
        let from = Target::new(bucket, key)?;
        let source_key = CustomerHeaders::new(
            input.copy_source_sse_customer_algorithm.take(),
            input.copy_source_sse_customer_key.take(),
            input.copy_source_sse_customer_key_md5.take(),
        );
        let source_key = self.customer_key(&request.extensions, source_key)?;
        let source = self.backend.head(&from.at).await.map_err(errors::of_backend)?;
        let header = objects::header(&source).map_err(errors::of_object)?;
        let source_mode = self.mode_of(&from, &header, source_key)?;
        source_conditions(input).check_source(&source)?;

        let replaces = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == "REPLACE");
        let replaces_tags = input
            .tagging_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == "REPLACE");
        let changes_sse = input.server_side_encryption.is_some() || input.sse_customer_algorithm.is_some();
        if from.at == to.at && !replaces && !changes_sse {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        refuse_unsupported!(input)?;
        check_policy!(self, &to, input)?;
        let sse = requested_sse!(self, &request.extensions, input);
        let default = self.bucket_default(&to.at.bucket).await?;
        let to_mode = sse
            .resolve(&self.keys, &to.name, &default)
            .map_err(errors::of_request)?;
        let attributes = requested!(input)?;
        let copying = Copying {
            attributes: if replaces {
                attributes
            } else {
                source.attributes.clone()
            },
            tags: replaces_tags
                .then(|| attributes::tags(input.tagging.as_deref()))
                .transpose()?,
            // A copy onto itself must not undo a write that came between.
            condition: match destination_condition(&*self.backend, &to.at, &request.headers).await? {
                // A copy onto itself must not undo a write that came between.
                Condition::None if from.at == to.at => Condition::Match(source.etag.clone()),
                condition => condition,
            },
            from,
            source,
            source_mode,
            to,
            to_mode,
        };
        let copied = self.copy(&copying, &header).await?;
        let stored = self.backend.head(&copying.to.at).await.map_err(errors::of_backend)?;
        let mut result = CopyObjectResult {
            e_tag: Some(etag(&copied.etag)),
            last_modified: Some(stored.modified.into()),
            ..CopyObjectResult::default()
        };
        checksums::report!(result, checksums::to_response(copied.checksum.as_ref(), 1));
        let mut output = CopyObjectOutput {
            copy_object_result: Some(result),
            ssekms_encryption_context: context_to_header(&copied.header),
            ..CopyObjectOutput::default()
        };
        report_sse!(output, Reported::of(&copying.to_mode, &copied.header));
        Ok(S3Response::new(output))
    }

    async fn copy(&self, copying: &Copying, header: &Header) -> S3Result<Copied> {
        let rewrapped = self.rewrapped(copying, header).await?;
        match rewrapped {
            Some(header) => self.copy_payload(copying, header).await,
            None => self.seal_again(copying).await,
        }
    }

    /// The header of a copy that keeps its data key: only under the same key, because whoever may use the key of one of
    /// two such objects can open both.
    async fn rewrapped(&self, copying: &Copying, header: &Header) -> S3Result<Option<Header>> {
        let same_mode = copying.to_mode.decryptor(&copying.from.name, header).is_ok();
        if !same_mode || Mode::of(header) == Ok(Mode::Customer) {
            return Ok(None);
        }
        let rewrap = copying
            .source_mode
            .copying(&copying.from.name, header, &copying.to_mode, &copying.to.name);
        let rewrap = rewrap.map_err(|error| errors::of_request(error.into()))?;
        let rewrapped = rewrap.header_async(header).await.map_err(errors::of_engine)?;
        let rewrapped = rewrapped.unwrap_or_else(|| header.clone());
        // The new key is known only now: an alias may be another key's.
        Ok((Mode::of(&rewrapped) == Mode::of(header)).then_some(rewrapped))
    }

    async fn copy_payload(&self, copying: &Copying, header: Header) -> S3Result<Copied> {
        let attributes = attributes::with_header(copying.attributes.clone(), &header)?;
        let Copying {
            from,
            source,
            to,
            tags,
            condition,
            ..
        } = copying;
        let copied = self
            .backend
            .copy(
                &from.at,
                &source.etag,
                &to.at,
                attributes,
                tags.clone(),
                condition.clone(),
            )
            .await;
        Ok(Copied {
            etag: copied.map_err(errors::of_backend)?,
            header,
            checksum: None,
        })
    }

    /// Opens the source and seals it under a key of its own.
    async fn seal_again(&self, copying: &Copying) -> S3Result<Copied> {
        let source = self
            .open_version(&copying.from, &copying.source, &copying.source_mode)
            .await?;
        let len = source.plaintext_len().map_err(errors::of_object)?;
        if len > MAX_PUT {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
            ));
        }
        let tags = match &copying.tags {
            Some(tags) => tags.clone(),
            None => self.backend.tags(&copying.from.at).await.map_err(errors::of_backend)?,
        };
        let plaintext = self.plaintext_of(&copying.from, &source, len).await?;
        let encryptor = copying.to_mode.encryptor(&copying.to.name).with_chunk_size(CHUNK_SIZE);
        let object = encryptor.begin_composite_async(Padding::PlaintextLength).await;
        let object = object.map_err(errors::of_engine)?;
        let attributes = attributes::with_header(copying.attributes.clone(), object.header())?;
        let sealed = objects::seal(&object, plaintext).map_err(errors::of_object)?;
        let put = self
            .backend
            .put(&copying.to.at, sealed, attributes, tags, copying.condition.clone())
            .await;
        Ok(Copied {
            etag: put.map_err(errors::of_backend)?,
            header: object.header().clone(),
            checksum: source.note().checksum.filter(|checksum| !checksum.composite),
        })
    }

    /// The plaintext of a whole object, with the checksum that it has.
    async fn plaintext_of(&self, target: &Target, source: &OpenObject, len: u64) -> S3Result<Plaintext> {
        let bytes = source.read(&*self.backend, &target.at, 0..len).await;
        let mut note = source.note();
        // One of its parts' checksums is not the copy's, which has one part.
        note.checksum = note.checksum.filter(|checksum| !checksum.composite);
        Ok(Plaintext {
            len,
            bytes: bytes.map_err(errors::of_object)?,
            note: Box::new(move || Ok(note.encode())),
        })
    }
}

/// The conditions on what the copy replaces, which s3s does not parse.
async fn destination_condition(backend: &dyn Backend, to: &Location, headers: &HeaderMap) -> S3Result<Condition> {
    let condition = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        let parsed = value
            .map(|value| ETagCondition::parse_http_header(value.as_bytes()))
            .transpose();
        parsed.map_err(|_| errors::invalid_argument("A condition is not an ETag."))
    };
    let (if_match, if_none_match) = (condition(IF_MATCH)?, condition(IF_NONE_MATCH)?);
    write_condition(backend, to, if_match.as_ref(), if_none_match.as_ref()).await
}

fn source_conditions(input: &mut CopyObjectInput) -> ReadConditions {
    ReadConditions {
        if_match: input.copy_source_if_match.take(),
        if_none_match: input.copy_source_if_none_match.take(),
        if_modified_since: input.copy_source_if_modified_since.take(),
        if_unmodified_since: input.copy_source_if_unmodified_since.take(),
    }
}
