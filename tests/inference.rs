//! Inference against real models and the real runtime, in process and in a worker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rollcage::world::inference::{
    BLOCK, BlockOutcome, End, Engine, Inference, Limits, LoadOutcome, Located, Origin, Places, RowOutcome, RunError,
    RuntimeError, Signature, Standing, Worker, find, locate, locate_in, survey_in, vet,
};

const EXE: &str = env!("CARGO_BIN_EXE_rollcage");
const QUICK: Limits = Limits { cpu_s: 1, memory_bytes: 2 << 30 };
const BLOCKWISE: Standing = Standing { vetted: true, rowwise: true };
const UNVETTED: Standing = Standing { vetted: false, rowwise: true };

fn located() -> Located {
    locate().expect("the runtime is found or fetched")
}

fn engine() -> Engine {
    Engine::start(&located()).expect("the runtime starts")
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx").join(format!("{name}.onnx"));
    std::fs::read(path).expect("the fixture is there")
}

fn signature(features: usize) -> Signature {
    Signature { input: "features".to_owned(), features, output: "score".to_owned(), column: 0 }
}

/// Rows that differ from each other, in (-2, 2).
fn rows(features: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..BLOCK * features)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 8_388_608.0 - 1.0) * 2.0
        })
        .collect()
}

fn worker() -> Worker {
    Worker::spawn(Path::new(EXE), &located(), QUICK).expect("the worker starts")
}

fn inference(cache: &Path) -> Inference {
    Inference::new(Arc::new(engine()), PathBuf::from(EXE)).with_limits(QUICK).with_cache(Some(cache.to_path_buf()))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

fn scores_of(outcome: BlockOutcome) -> Vec<f32> {
    match outcome {
        BlockOutcome::Scores(scores) => scores,
        other => panic!("expected scores, got {}", short(&other)),
    }
}

fn short(outcome: &BlockOutcome) -> &'static str {
    match outcome {
        BlockOutcome::Scores(_) => "scores",
        BlockOutcome::Rows(_) => "rows",
        BlockOutcome::NoReturn => "no return",
        BlockOutcome::Crashed => "crashed",
    }
}

#[test]
fn a_model_gives_what_its_weights_say() {
    // two_columns: one Gemm and a sigmoid; with all features 0 the scores are the sigmoid of the biases.
    let bytes = fixture("two_columns");
    let mut first = engine().load(&bytes, &signature(4)).unwrap();
    let mut second = engine().load(&bytes, &Signature { column: 1, ..signature(4) }).unwrap();
    let (mut a, mut b) = (vec![0.0; BLOCK], vec![0.0; BLOCK]);
    first.run_block(&vec![0.0; BLOCK * 4], &mut a).unwrap();
    second.run_block(&vec![0.0; BLOCK * 4], &mut b).unwrap();
    assert!(a.iter().all(|score| score.to_bits() == a[0].to_bits()));
    // Computed from make.py in double precision.
    assert!((a[0] - 0.424_661_75).abs() < 1e-6, "{}", a[0]);
    assert!((b[0] - 0.433_310_66).abs() < 1e-6, "{}", b[0]);
}

#[test]
fn a_rows_score_is_the_same_whatever_the_other_slots_hold() {
    let mut session = engine().load(&fixture("mlp"), &signature(16)).unwrap();
    let block = rows(16, 1);
    let mut scores = vec![0.0; BLOCK];
    session.run_block(&block, &mut scores).unwrap();
    assert!(bits(&scores).windows(2).any(|pair| pair[0] != pair[1]), "the rows differ, so must the scores");
    for seed in 2..6 {
        let mut other = if seed == 5 { vec![f32::NAN; BLOCK * 16] } else { rows(16, seed) };
        let kept: Vec<usize> = (0..BLOCK).step_by(7).collect();
        for &slot in &kept {
            other[slot * 16..(slot + 1) * 16].copy_from_slice(&block[slot * 16..(slot + 1) * 16]);
        }
        let mut again = vec![0.0; BLOCK];
        session.run_block(&other, &mut again).unwrap();
        for slot in kept {
            assert_eq!(scores[slot].to_bits(), again[slot].to_bits(), "slot {slot}");
        }
        assert_ne!(scores[1].to_bits(), again[1].to_bits());
    }
}

#[test]
fn two_sessions_and_the_worker_agree_to_the_bit() {
    let bytes = fixture("mlp");
    let block = rows(16, 3);
    let engine = engine();
    let run = || {
        let mut scores = vec![0.0; BLOCK];
        engine.load(&bytes, &signature(16)).unwrap().run_block(&block, &mut scores).unwrap();
        scores
    };
    let scores = run();
    assert_eq!(bits(&scores), bits(&run()));
    let mut worker = worker();
    assert_eq!(worker.load(&bytes, &signature(16), true), LoadOutcome::Loaded);
    assert_eq!(bits(&scores), bits(&scores_of(worker.run(&block))));
}

#[test]
fn rows_run_singly_are_close_to_rows_run_in_a_block() {
    let mut session = engine().load(&fixture("mlp"), &signature(16)).unwrap();
    let block = rows(16, 4);
    let (mut together, mut singly) = (vec![0.0; BLOCK], vec![0.0; BLOCK]);
    session.run_block(&block, &mut together).unwrap();
    session.run_rows(&block, &mut singly).unwrap();
    assert!(together.iter().zip(&singly).all(|(a, b)| (a - b).abs() < 1e-5));
    assert_ne!(bits(&singly), bits(&[0.0; BLOCK]));
}

#[test]
fn nan_is_a_score_and_lengths_are_checked() {
    let mut session = engine().load(&fixture("flat"), &signature(4)).unwrap();
    let mut block = rows(4, 5);
    block[4 * 9] = f32::NAN;
    let mut scores = vec![0.0; BLOCK];
    session.run_block(&block, &mut scores).unwrap();
    assert!(scores[9].is_nan() && !scores[8].is_nan());
    assert_eq!(
        session.run_block(&block[1..], &mut scores),
        Err(RunError::Length { expected: BLOCK * 4, got: BLOCK * 4 - 1 })
    );
    assert_eq!(session.run_block(&block, &mut scores[1..]), Err(RunError::Length { expected: BLOCK, got: BLOCK - 1 }));
}

#[test]
fn a_model_without_the_declared_signature_is_refused() {
    let engine = engine();
    let bytes = fixture("two_columns");
    let refused = |signature: Signature| engine.load(&bytes, &signature).unwrap_err().to_string();
    assert!(engine.load(&bytes, &Signature { column: 1, ..signature(4) }).is_ok());
    assert!(refused(Signature { column: 2, ..signature(4) }).contains("more than 2"));
    assert!(refused(signature(5)).contains("[rows, 5]"));
    assert!(refused(Signature { input: "x".to_owned(), ..signature(4) }).contains("`x`"));
    assert!(refused(Signature { output: "y".to_owned(), ..signature(4) }).contains("`y`"));
    assert!(refused(Signature { output: "a\0b".to_owned(), ..signature(4) }).contains("no output"));
    assert!(engine.load(&fixture("flat"), &Signature { column: 1, ..signature(4) }).is_err());
}

#[test]
fn bytes_that_are_no_model_are_refused_in_one_line() {
    let mut worker = worker();
    let whole = fixture("mlp");
    for bytes in [&b""[..], b"not a model at all", &[0xff; 4096], &whole[..whole.len() / 2], &whole[..whole.len() - 1]]
    {
        let in_process = engine().load(bytes, &signature(16)).unwrap_err().to_string();
        match worker.load(bytes, &signature(16), true) {
            LoadOutcome::Refused(message) => {
                assert_eq!(message, in_process);
                assert!(!message.is_empty() && !message.contains('\n') && !message.contains("0x"), "{message}");
                assert!(!message.contains(env!("CARGO_MANIFEST_DIR")), "{message}");
            }
            other => panic!("{} bytes: {other:?}", bytes.len()),
        }
    }
    assert_eq!(worker.load(&whole, &signature(16), true), LoadOutcome::Loaded, "the worker survives all of it");
}

#[test]
fn a_flipped_bit_refuses_or_changes_or_does_nothing() {
    let bytes = fixture("tiny");
    let block = rows(4, 6);
    let mut worker = worker();
    assert_eq!(worker.load(&bytes, &signature(4), true), LoadOutcome::Loaded);
    let clean = scores_of(worker.run(&block));
    let (mut refused, mut changed, mut same) = (0, 0, 0);
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        if worker.end().is_some() {
            worker = self::worker();
        }
        match worker.load(&damaged, &signature(4), true) {
            LoadOutcome::Loaded => match worker.run(&block) {
                BlockOutcome::Scores(scores) if bits(&scores) == bits(&clean) => same += 1,
                BlockOutcome::Scores(_) => changed += 1,
                _ => {}
            },
            LoadOutcome::Refused(_) => refused += 1,
            LoadOutcome::NoReturn | LoadOutcome::Crashed => {}
        }
    }
    assert!(refused > 10, "refused {refused}");
    assert!(changed > 10, "silently changed {changed}");
    assert!(same > 0, "same {same}");
}

#[test]
fn a_row_that_fails_does_not_take_its_block_with_it() {
    let mut block = vec![0.0; BLOCK * 4];
    for (row, value) in [(1, 1.0), (2, 2.0), (3, 99.0), (BLOCK - 1, 3.0)] {
        block[row * 4] = value;
    }
    let cache = tempfile::tempdir().unwrap();
    let bytes: Arc<[u8]> = fixture("picky").into();
    let outcome = |standing| {
        let mut inference = inference(cache.path());
        assert_eq!(inference.open(&bytes, digest(&bytes), &signature(4), standing).unwrap(), LoadOutcome::Loaded);
        inference.scores(&digest(&bytes), &signature(4), &block).unwrap()
    };
    let BlockOutcome::Rows(in_process) = outcome(BLOCKWISE) else { panic!("expected rows") };
    assert_eq!(
        in_process[..4].to_vec(),
        [0.125, 0.25, 0.5].map(RowOutcome::Score).into_iter().chain([RowOutcome::Failed]).collect::<Vec<_>>()
    );
    assert_eq!(in_process[BLOCK - 1], RowOutcome::Score(0.75));
    assert_eq!(in_process.iter().filter(|row| **row == RowOutcome::Failed).count(), 1);
    assert_eq!(outcome(UNVETTED), BlockOutcome::Rows(in_process));
    block[3 * 4] = 3.0;
    assert_eq!(scores_of(inference_once(&bytes, &block))[3].to_bits(), 0.75_f32.to_bits());
}

fn inference_once(bytes: &Arc<[u8]>, block: &[f32]) -> BlockOutcome {
    let mut inference = Inference::new(Arc::new(engine()), PathBuf::from(EXE)).with_cache(None);
    inference.open(bytes, digest(bytes), &signature(4), BLOCKWISE).unwrap();
    inference.scores(&digest(bytes), &signature(4), block).unwrap()
}

#[test]
fn what_does_not_return_is_a_verdict_on_that_block_and_is_remembered() {
    let cache = tempfile::tempdir().unwrap();
    let bytes: Arc<[u8]> = fixture("no_return").into();
    let key = digest(&bytes);
    let hangs = vec![1.0; BLOCK * 4];
    let mut first = inference(cache.path());
    assert_eq!(first.open(&bytes, key, &signature(4), UNVETTED).unwrap(), LoadOutcome::Loaded);
    let mut calm = vec![0.0; BLOCK * 4];
    calm[0] = 1.0;
    let before = scores_of(first.scores(&key, &signature(4), &calm).unwrap());
    assert_eq!(before[0].to_bits(), 0.25_f32.to_bits());
    assert_eq!(first.scores(&key, &signature(4), &hangs).unwrap(), BlockOutcome::NoReturn);
    assert_eq!(
        first.scores(&key, &signature(4), &calm).unwrap(),
        BlockOutcome::Scores(before.clone()),
        "a new worker answers"
    );

    // Were the question put again, the answer would be the same; so the memory of it is altered, to see that it is used.
    let folder = std::fs::read_dir(cache.path().join("verdicts")).unwrap().next().unwrap().unwrap().path();
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "one verdict: {files:?}");
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), "no return\n");
    std::fs::write(&files[0], "crashed\n").unwrap();
    let mut second = inference(cache.path());
    second.open(&bytes, key, &signature(4), UNVETTED).unwrap();
    assert_eq!(second.scores(&key, &signature(4), &hangs).unwrap(), BlockOutcome::Crashed);
    let calm = second.scores(&key, &signature(4), &calm).unwrap();
    assert_eq!(calm, BlockOutcome::Scores(before), "a verdict is about its block only");
}

#[test]
fn more_memory_than_allowed_is_a_crash() {
    let mut worker = worker();
    assert_eq!(worker.load(&fixture("hungry"), &signature(4), true), LoadOutcome::Loaded);
    assert_eq!(worker.run(&rows(4, 7)), BlockOutcome::Crashed);
    assert_eq!(worker.end(), Some(End::Crashed));
}

#[test]
fn a_model_whose_weights_are_in_another_file_is_refused() {
    let bytes = fixture("external");
    // The file is there, beside the fixtures; a model given as bytes has no folder to read it from.
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx/outside.bin").is_file());
    assert!(engine().load(&bytes, &signature(4)).is_err());
    assert!(matches!(worker().load(&bytes, &signature(4), true), LoadOutcome::Refused(_)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_limits_itself() {
    let mut worker = worker();
    assert_eq!(worker.load(&fixture("tiny"), &signature(4), true), LoadOutcome::Loaded);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.id())).unwrap();
    let soft = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("the kernel lists it");
        line[name.len()..].split_whitespace().next().unwrap().parse::<u64>().ok()
    };
    assert_eq!(soft("Max open files"), Some(3));
    assert_eq!(soft("Max file size"), Some(0));
    assert_eq!(soft("Max core file size"), Some(0));
    assert_eq!(soft("Max address space"), Some(QUICK.memory_bytes));
    assert!(soft("Max cpu time").is_some_and(|seconds| (2..=4).contains(&seconds)), "{limits}");
}

#[cfg(unix)]
#[test]
#[expect(clippy::disallowed_methods, reason = "the worker is another process: it hangs in real time")]
fn a_worker_that_is_killed_counts_as_crashed_and_is_replaced() {
    let kill = |id: u32| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    };
    let mut worker = Worker::spawn(Path::new(EXE), &located(), Limits::default()).unwrap();
    assert_eq!(worker.load(&fixture("no_return"), &signature(4), true), LoadOutcome::Loaded);
    let id = worker.id();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        kill(id);
    });
    let start = Instant::now();
    assert_eq!(worker.run(&vec![1.0; BLOCK * 4]), BlockOutcome::Crashed);
    assert!(start.elapsed().as_millis() >= 250, "it was under way");
    killer.join().unwrap();
    assert_eq!(worker.end(), Some(End::Killed));
    assert_eq!(worker.load(&fixture("tiny"), &signature(4), true), LoadOutcome::Crashed, "what is dead stays dead");
}

#[cfg(unix)]
#[test]
fn a_killed_worker_says_nothing_about_the_model() {
    let cache = tempfile::tempdir().unwrap();
    let bytes: Arc<[u8]> = fixture("tiny").into();
    let mut inference = inference(cache.path());
    inference.open(&bytes, digest(&bytes), &signature(4), UNVETTED).unwrap();
    let block = rows(4, 8);
    let before = inference.scores(&digest(&bytes), &signature(4), &block).unwrap();
    assert_eq!(inference.worker_ids().len(), 1);
    for id in inference.worker_ids() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    assert_eq!(inference.scores(&digest(&bytes), &signature(4), &block).unwrap(), before);
    assert!(!cache.path().join("verdicts").exists());
}

#[cfg(unix)]
#[test]
fn workers_end_with_the_inference_that_started_them() {
    let cache = tempfile::tempdir().unwrap();
    let mut inference = inference(cache.path());
    let block = rows(4, 9);
    let base = fixture("tiny");
    let mut seen = Vec::new();
    for copy in 0..6_u8 {
        // A producer name that differs makes other bytes of the same model.
        let mut bytes = base.clone();
        let at = bytes.windows(8).position(|name| name == b"rollcage").unwrap();
        bytes[at] = b'a' + copy;
        let bytes: Arc<[u8]> = bytes.into();
        assert_eq!(inference.open(&bytes, digest(&bytes), &signature(4), UNVETTED).unwrap(), LoadOutcome::Loaded);
        scores_of(inference.scores(&digest(&bytes), &signature(4), &block).unwrap());
        seen.extend(inference.worker_ids());
    }
    assert!(inference.worker_ids().len() <= 4, "{}", inference.worker_ids().len());
    assert_eq!(inference.rows_inferred(), 6 * BLOCK as u64);
    drop(inference);
    for id in seen {
        let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err(), "worker {id} is still there");
    }
}

#[test]
fn asking_a_model_that_is_not_open_is_an_error() {
    let cache = tempfile::tempdir().unwrap();
    let bytes: Arc<[u8]> = b"no model".to_vec().into();
    let mut inference = inference(cache.path());
    let block = rows(4, 1);
    assert!(matches!(inference.scores(&digest(&bytes), &signature(4), &block), Err(RuntimeError::NotOpen { .. })));
    for standing in [BLOCKWISE, UNVETTED] {
        let load = inference.open(&bytes, digest(&bytes), &signature(4), standing).unwrap();
        assert!(matches!(load, LoadOutcome::Refused(_)));
    }
    assert!(matches!(inference.scores(&digest(&bytes), &signature(4), &block), Err(RuntimeError::NotOpen { .. })));
    assert!(matches!(
        inference.scores(&digest(&bytes), &signature(4), &block[1..]),
        Err(RuntimeError::BlockLength { .. })
    ));
    assert_eq!(inference.rows_inferred(), 0);
}

#[test]
fn vetting_tells_row_wise_models_from_others() {
    let check = |name: &str, features: usize| {
        let probe = rows(features, 10);
        let probe = &probe[..features * 100];
        vet(Path::new(EXE), &located(), &fixture(name), &signature(features), probe, QUICK).unwrap()
    };
    let mlp = check("mlp", 16);
    assert!(mlp.passes() && mlp.rowwise && mlp.finite, "{mlp:?}");
    assert_eq!(mlp.scores_digest, check("mlp", 16).scores_digest);
    let across = check("across_rows", 4);
    assert!(across.passes() && !across.rowwise && across.finite, "{across:?}");
    assert_ne!(across.scores_digest, mlp.scores_digest);
    let picky = check("picky", 4);
    assert!(!picky.rowwise, "{picky:?}");
    let garbage = vet(Path::new(EXE), &located(), b"garbage", &signature(4), &[0.0; 4], QUICK).unwrap();
    assert!(!garbage.passes() && garbage.scores_digest.is_none());
}

#[test]
fn a_model_across_rows_runs_at_batch_one() {
    let bytes: Arc<[u8]> = fixture("across_rows").into();
    let cache = tempfile::tempdir().unwrap();
    let mut block = rows(4, 11);
    for vetted in [true, false] {
        let mut inference = inference(cache.path());
        inference.open(&bytes, digest(&bytes), &signature(4), Standing { vetted, rowwise: false }).unwrap();
        let scores = scores_of(inference.scores(&digest(&bytes), &signature(4), &block).unwrap());
        block[BLOCK * 4 - 1] += 100.0;
        let again = scores_of(inference.scores(&digest(&bytes), &signature(4), &block).unwrap());
        assert_eq!(bits(&scores[..BLOCK - 1]), bits(&again[..BLOCK - 1]), "no neighbour is seen");
    }
}

#[test]
fn a_variable_that_names_no_file_is_a_clear_error() {
    let places = Places { variable: Some(PathBuf::from("/nowhere/libonnxruntime.so")), ..Places::of_process() };
    let error = locate_in(&places).unwrap_err();
    assert!(matches!(error, RuntimeError::OverrideMissing { .. }));
    assert!(error.to_string().contains("ORT_DYLIB_PATH") && error.to_string().contains("/nowhere"), "{error}");
}

#[test]
fn without_python_and_cache_the_error_names_the_ways() {
    let cache = tempfile::tempdir().unwrap();
    let places = Places { cache: Some(cache.path().to_path_buf()), ..Places::default() };
    assert_eq!(find(&places).unwrap(), None);
    let error = locate_in(&places).unwrap_err().to_string();
    for way in ["python3", "pip", "ORT_DYLIB_PATH", "beside the rollcage executable", "ROLLCAGE_CACHE"] {
        assert!(error.contains(way), "{way} is missing in: {error}");
    }
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0, "nothing was made");
}

#[cfg(unix)]
#[test]
fn a_python_without_pip_is_an_error_that_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let (bin, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let python = bin.path().join("python3");
    std::fs::write(&python, "#!/bin/sh\necho \"$0: No module named pip\" >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let places = Places {
        cache: Some(cache.path().to_path_buf()),
        search_path: Some(bin.path().as_os_str().to_owned()),
        ..Places::default()
    };
    let error = locate_in(&places).unwrap_err().to_string();
    assert!(error.contains("No module named pip") && error.contains("ways to get it"), "{error}");
}

#[test]
fn a_foreign_library_is_reported_and_a_spoilt_cache_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("libonnxruntime.so.1.26.0");
    std::fs::write(&foreign, b"something else").unwrap();
    let found = find(&Places { variable: Some(foreign), ..Places::default() }).unwrap().unwrap();
    assert!(found.foreign && found.origin == Origin::Variable);
    assert_eq!(found.version.as_deref(), Some("1.26.0"));
    assert!(matches!(
        Engine::start(&found),
        Err(RuntimeError::Unloadable { .. } | RuntimeError::AlreadyStarted { .. })
    ));

    let real = located();
    assert!(!real.foreign || real.origin == Origin::Variable || real.origin == Origin::BesideExecutable);
    if real.origin == Origin::Cache || real.origin == Origin::Fetched {
        let cache = rollcage::world::inference::cache_folder().unwrap();
        let copy = folder.path().join("cache").join(real.path.strip_prefix(cache).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&real.path, &copy).unwrap();
        let places = Places { cache: Some(folder.path().join("cache")), ..Places::default() };
        assert_eq!(find(&places).unwrap().map(|found| found.sha256), Some(real.sha256));
        let mut bytes = std::fs::read(&copy).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(&copy, [bytes, vec![0]].concat()).unwrap();
        assert_eq!(find(&places).unwrap(), None, "a changed library is not the pinned one");
        assert!(survey_in(&places).iter().any(|candidate| format!("{:?}", candidate.finding).contains("fetched anew")));
    }
}

/// Fetches for real, eight at once: `ROLLCAGE_LONG_TESTS=1 cargo test`.
#[test]
fn eight_at_once_on_an_empty_cache_all_succeed() {
    if std::env::var_os("ROLLCAGE_LONG_TESTS").is_none() {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let places =
        Places { cache: Some(cache.path().to_path_buf()), variable: None, beside: None, ..Places::of_process() };
    let found: Vec<Located> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| locate_in(&places).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(found.iter().filter(|located| located.origin == Origin::Fetched).count(), 1, "one fetches");
    assert!(found.iter().all(|located| located.path == found[0].path && !located.foreign));
}
