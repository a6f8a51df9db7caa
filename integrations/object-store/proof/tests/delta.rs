//! A Delta table through `EncryptedStore`, by delta-rs: its log depends on files that are created once, its data is Parquet.

use std::sync::Arc;

use deltalake_core::arrow::array::{Int64Array, RecordBatch, StringArray};
use deltalake_core::arrow::datatypes::{DataType as ArrowType, Field, Schema};
use deltalake_core::kernel::{DataType, StructField};
use deltalake_core::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use futures_util::TryStreamExt;
use object_store_0_13::memory::InMemory;
use object_store_0_13::{ObjectStore, ObjectStoreExt};
use sealstone::RawKey;
use sealstone_object_store::v0_13::EncryptedStore;
use sealstone_object_store::{Capabilities, HeaderPlace, ServerCopies};
use url::Url;

const ROWS: i64 = 10_000;
/// In every row, in the schema, and in the statistics that the log has.
const KNOWN: &str = "known-plaintext";

#[tokio::test]
async fn a_table_whose_files_have_their_headers_in_metadata() {
    table(Capabilities::new(HeaderPlace::Metadata, ServerCopies::All)).await;
}

#[tokio::test]
async fn a_table_whose_files_begin_with_their_headers() {
    table(Capabilities::new(HeaderPlace::Attached, ServerCopies::All)).await;
}

async fn table(capabilities: Capabilities) {
    let inner = Arc::new(InMemory::new());
    let key = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
    let store = EncryptedStore::builder(key).build(inner.clone(), capabilities);
    let store: Arc<dyn ObjectStore> = Arc::new(store.unwrap());
    let columns = [
        StructField::new("id", DataType::LONG, false),
        StructField::new("name", DataType::STRING, false),
    ];
    let table = open(&store)
        .build()
        .unwrap()
        .create()
        .with_columns(columns)
        .await
        .unwrap();
    // Two writers of one version: the log's next file is created once, and the other one tries the next.
    let (mut first, mut second) = (table.clone(), table);
    append(&mut first, 0).await;
    append(&mut second, ROWS).await;

    let table = open(&store).load().await.unwrap();
    assert_eq!(table.version(), Some(2));
    let mut ids = Vec::new();
    let mut files = store.list(Some(&"table".into()));
    while let Some(found) = files.try_next().await.unwrap() {
        if found.location.extension() == Some("parquet") {
            ids.extend(ids_in(store.get(&found.location).await.unwrap().bytes().await.unwrap()));
        }
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..2 * ROWS));
    assert_eq!(table.get_file_uris().unwrap().count(), 2);
    nothing_known(&*inner).await;
}

fn open(store: &Arc<dyn ObjectStore>) -> DeltaTableBuilder {
    let url = Url::parse("memory:///table").unwrap();
    let builder = DeltaTableBuilder::from_url(url.clone()).unwrap();
    builder.with_storage_backend(store.clone(), url)
}

async fn append(table: &mut DeltaTable, from: i64) {
    let schema = Schema::new(vec![
        Field::new("id", ArrowType::Int64, false),
        Field::new("name", ArrowType::Utf8, false),
    ]);
    let ids: Vec<_> = (from..from + ROWS).collect();
    let names = ids.iter().map(|id| format!("{KNOWN}-{id}"));
    let columns: [Arc<dyn deltalake_core::arrow::array::Array>; 2] = [
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(StringArray::from_iter_values(names)),
    ];
    let rows = RecordBatch::try_new(Arc::new(schema), columns.into()).unwrap();
    let mut writer = RecordBatchWriter::for_table(table).unwrap();
    writer.write(rows).await.unwrap();
    writer.flush_and_commit(table).await.unwrap();
}

fn ids_in(file: bytes::Bytes) -> Vec<i64> {
    let rows = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let ids = rows.flat_map(|rows| {
        let rows = rows.unwrap();
        let ids = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        ids.values().to_vec()
    });
    ids.collect()
}

/// What the inner store has.
async fn nothing_known(inner: &dyn ObjectStore) {
    let stored: Vec<_> = inner.list(None).try_collect().await.unwrap();
    // Three log files, two files of data.
    assert_eq!(stored.len(), 5, "{stored:?}");
    for found in stored {
        let bytes = inner.get(&found.location).await.unwrap().bytes().await.unwrap();
        for known in [KNOWN, "PAR1", "commitInfo", "schemaString"] {
            let is_there = bytes.windows(known.len()).any(|window| window == known.as_bytes());
            assert!(!is_there, "{known} in {}", found.location);
        }
    }
}
