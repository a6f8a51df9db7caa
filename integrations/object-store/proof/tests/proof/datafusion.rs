//! DataFusion writes a table of Parquet files through the wrapper and queries it: same rows, same requests.

use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::ParquetRecordBatchStreamBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures_util::TryStreamExt;
use sealstone_object_store::Capabilities;
use url::Url;

use crate::common::{ATTACHED, METADATA, SECRET, contains};
use crate::v0_13::cases::counted::{Counted, Counts};
use crate::v0_13::cases::{encrypted, s3};
use crate::v0_13::object_store::memory::InMemory;
use crate::v0_13::object_store::path::Path;
use crate::v0_13::object_store::{ObjectStore, ObjectStoreExt};

const ROWS: i64 = 100_000;
const BATCH_ROWS: i64 = 5_000;
const SENSORS: i64 = 97;
const FILES: usize = 3;
/// One row group of each file has these rows.
const WANTED: std::ops::Range<i64> = 40_000..45_000;

/// Column names and values that no file may have as they are: those of Parquet too.
const KNOWN: [&[u8]; 4] = [SECRET, b"patient_note", b"reading", b"PAR1"];

/// A session that knows `store` as `store://data`, and nothing of what other sessions have read.
fn session(store: Arc<dyn ObjectStore>) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .set_usize("datafusion.execution.minimum_parallel_output_files", FILES)
        // What S3 takes as a part. Files are longer: they are written in parts.
        .set_usize("datafusion.execution.objectstore_writer_buffer_size", 5 << 20)
        // Files are longer than this too: not all of a file comes with its footer.
        .set_usize("datafusion.execution.parquet.metadata_size_hint", 64 << 10)
        // What is copied and what is inserted have the same types of strings.
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false);
    let context = SessionContext::new_with_config(config);
    context.register_object_store(&Url::parse("store://data").unwrap(), store);
    context
}

async fn run(context: &SessionContext, sql: &str) -> String {
    let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&rows).unwrap().to_string()
}

fn batch(from: i64) -> RecordBatch {
    let rows = from..from + BATCH_ROWS;
    let secret = std::str::from_utf8(SECRET).unwrap();
    // Long, and no two are the same.
    let note = |row: i64| format!("{secret} {row:0>150}");
    RecordBatch::try_from_iter([
        ("row", Arc::new(Int64Array::from_iter_values(rows.clone())) as _),
        (
            "sensor",
            Arc::new(StringArray::from_iter_values(
                rows.clone().map(|row| format!("sensor {:02}", row % SENSORS)),
            )) as _,
        ),
        (
            "reading",
            Arc::new(Int64Array::from_iter_values(rows.clone().map(reading))) as _,
        ),
        (
            "patient_note",
            Arc::new(StringArray::from_iter_values(rows.map(note))) as _,
        ),
    ])
    .unwrap()
}

fn reading(row: i64) -> i64 {
    row * row % 1_009
}

/// Writes the table: copied from memory, then appended to.
async fn write(store: Arc<dyn ObjectStore>) {
    let context = session(store);
    let batches = (0..ROWS / BATCH_ROWS).map(|number| batch(number * BATCH_ROWS));
    let source = context.read_batches(batches).unwrap();
    context.register_table("source", source.into_view()).unwrap();
    run(
        &context,
        "COPY source TO 'store://data/readings/' STORED AS PARQUET
         OPTIONS ('format.compression' 'uncompressed', 'format.max_row_group_size' '5000')",
    )
    .await;
    create(&context).await;
    run(
        &context,
        "INSERT INTO readings SELECT row + 1000000, sensor, reading, patient_note FROM source WHERE row < 1000",
    )
    .await;
}

async fn create(context: &SessionContext) {
    let sql = "CREATE EXTERNAL TABLE readings STORED AS PARQUET LOCATION 'store://data/readings/'";
    run(context, sql).await;
}

/// Queries the table: a few row groups of it, and how many rows there are.
async fn query(store: Arc<dyn ObjectStore>) -> [String; 2] {
    let context = session(store);
    create(&context).await;
    let wanted = format!(
        "SELECT sensor, count(*) AS rows, sum(reading) AS total, max(patient_note) AS last FROM readings
         WHERE row >= {} AND row < {} GROUP BY sensor ORDER BY sensor LIMIT 1",
        WANTED.start, WANTED.end
    );
    let wanted = run(&context, &wanted).await;
    let all = run(
        &context,
        "SELECT count(patient_note) AS rows, sum(reading) AS total FROM readings",
    )
    .await;
    [wanted, all]
}

/// What the queries must return.
fn check(results: &[String; 2]) {
    let first: Vec<i64> = WANTED.filter(|row| row % SENSORS == 0).collect();
    let total: i64 = first.iter().copied().map(reading).sum();
    let row = format!("| sensor 00 | {}   | {total} | ", first.len());
    assert!(results[0].contains(&row), "{row}\n{}", results[0]);
    let last = format!("{:0>150}", first[first.len() - 1]);
    assert!(results[0].contains(&last), "{}", results[0]);
    let total: i64 = (0..ROWS).chain(0..1000).map(reading).sum();
    let row = format!("| {} | {total} |", ROWS + 1000);
    assert!(results[1].contains(&row), "{row}\n{}", results[1]);
}

/// The inner store's objects.
async fn files(store: &dyn ObjectStore) -> Vec<(Path, Vec<u8>)> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut files = Vec::new();
    for meta in listed {
        let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        files.push((meta.location, bytes.to_vec()));
    }
    files
}

/// The footer of a file of unknown length, for which the reader asks for the file's end.
#[expect(deprecated, reason = "other programs use it")]
async fn rows_by_suffix(store: Arc<dyn ObjectStore>, path: Path) -> i64 {
    let reader = datafusion::parquet::arrow::async_reader::ParquetObjectReader::new(store, path);
    let file = ParquetRecordBatchStreamBuilder::new(reader).await.unwrap();
    file.metadata().file_metadata().num_rows()
}

struct Outcome {
    written: Counts,
    queried: Counts,
    results: [String; 2],
    files: Vec<(Path, Vec<u8>)>,
}

async fn outcome<S: ObjectStore>(inner: S, capabilities: Option<Capabilities>) -> Outcome {
    let counted = Counted::new(inner);
    let store: Arc<dyn ObjectStore> = match capabilities {
        Some(capabilities) => Arc::new(encrypted(counted.clone(), capabilities)),
        None => Arc::new(counted.clone()),
    };
    write(store.clone()).await;
    let written = counted.take();
    // As another program, which has read nothing yet.
    let reopened: Arc<dyn ObjectStore> = match capabilities {
        Some(capabilities) => Arc::new(encrypted(counted.clone(), capabilities)),
        None => store,
    };
    let results = query(reopened.clone()).await;
    let queried = counted.take();
    check(&results);
    let files = files(&counted).await;
    let mut rows = 0;
    for (path, _) in &files {
        rows += rows_by_suffix(reopened.clone(), path.clone()).await;
    }
    assert_eq!(rows, ROWS + 1000);
    Outcome {
        written,
        queried,
        results,
        files,
    }
}

async fn compare<S: ObjectStore>(inner: impl Fn() -> S) {
    let bare = outcome(inner(), None).await;
    assert!(bare.files.len() > FILES, "{}", bare.files.len());
    for known in KNOWN {
        assert!(bare.files.iter().any(|(_, bytes)| contains(bytes, known)));
    }
    // Row groups are pruned, and not all of a file comes with its footer.
    let [stored, fetched] = [
        bare.files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        bare.queried.fetched,
    ];
    assert!(fetched < 2 * stored, "{fetched} of {stored} by two queries");
    println!("bare: {:?}", (&bare.written, &bare.queried));
    for (capabilities, more) in [(METADATA, 0), (ATTACHED, bare.files.len())] {
        let mut wrapped = outcome(inner(), Some(capabilities)).await;
        println!("{capabilities:?}: {:?}", (&wrapped.written, &wrapped.queried));
        assert_eq!(wrapped.results, bare.results, "{capabilities:?}");
        *wrapped.queried.requests.get_mut("get").unwrap() -= more;
        assert_eq!(wrapped.queried.requests, bare.queried.requests, "{capabilities:?}");
        assert_eq!(wrapped.files.len(), bare.files.len());
        for (path, bytes) in &wrapped.files {
            for known in KNOWN {
                assert!(!contains(bytes, known), "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_over_memory_takes_the_requests_of_the_bare_store() {
    compare(InMemory::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_over_s3_takes_the_requests_of_the_bare_store() {
    compare(s3).await;
}
