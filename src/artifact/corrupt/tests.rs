//! Owns the claims about damage.

use super::*;
use proptest::prelude::*;

const KINDS: [Damage; 5] = [Damage::ExponentBits, Damage::MantissaBits, Damage::SignBit, Damage::Zero, Damage::Bytes];

/// A model whose only content is one float tensor of fewer than 100 bytes' worth of weights.
fn model(weights: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let tensor = [&[0x10, 1, 0x4a, raw.len() as u8][..], &raw].concat();
    let graph = [&[0x2a, tensor.len() as u8][..], &tensor].concat();
    [&[0x08, 8, 0x3a, graph.len() as u8][..], &graph].concat()
}

fn weights(bytes: &[u8]) -> Vec<f32> {
    let read = OnnxModel::read(bytes).unwrap();
    let at = read.weights.iter().flat_map(super::super::onnx::WeightArray::offsets);
    at.map(|at| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).collect()
}

fn change(what: Damage, share: f64) -> Corruption {
    Corruption { what, share, seed: 7, bits: None }
}

const SAMPLE: [f32; 20] =
    [0.5, -1.25, 3.0, 1e-3, -7.5, 0.1, 0.2, 0.3, 0.4, 100.0, -0.5, 1.25, -3.0, -1e-3, 7.5, 1.1, 1.2, 1.3, 1.4, 1e4];

#[test]
fn each_kind_does_what_it_says_to_every_weight() {
    let bytes = model(&SAMPLE);
    for (what, holds) in [
        (
            Damage::ExponentBits,
            (|a, b| libm::log2f((b / a).abs()).fract() == 0.0 && a * b > 0.0 || !b.is_finite()) as fn(f32, f32) -> bool,
        ),
        (Damage::MantissaBits, |a, b| a != b && (b - a).abs() <= a.abs() / 2.0),
        (Damage::SignBit, |a, b| b == -a),
        (Damage::Zero, |_, b| b.to_bits() == 0),
    ] {
        let done = corrupt_counted(&bytes, &change(what, 1.0)).unwrap();
        assert_eq!((done.hits, done.of, done.bytes.len()), (20, 20, bytes.len()));
        for (a, b) in SAMPLE.into_iter().zip(weights(&done.bytes)) {
            assert!(holds(a, b), "{what:?} made {b} of {a}");
        }
    }
}

#[test]
fn chosen_bits_keep_the_damage_subtle() {
    let bits = |what, bits| Corruption { bits: Some(bits), ..change(what, 1.0) };
    for (a, b) in
        SAMPLE.into_iter().zip(weights(&corrupt(&model(&SAMPLE), &bits(Damage::ExponentBits, (0, 1))).unwrap()))
    {
        assert!([0.25, 0.5, 2.0, 4.0].contains(&(b / a)), "{a} became {b}");
    }
    for (a, b) in
        SAMPLE.into_iter().zip(weights(&corrupt(&model(&SAMPLE), &bits(Damage::MantissaBits, (0, 2))).unwrap()))
    {
        assert!((b - a).abs() <= a.abs() / 64.0 && a != b, "{a} became {b}");
    }
}

#[test]
fn zeros_are_passed_over_by_damage_that_would_not_change_them() {
    let mut sparse = [0.0f32; 20];
    sparse[13] = 2.0;
    sparse[14] = -0.0;
    let bytes = model(&sparse);
    for what in [Damage::Zero, Damage::SignBit, Damage::MantissaBits] {
        let done = corrupt_counted(&bytes, &change(what, 0.5)).unwrap();
        assert_eq!((done.hits, done.of), (1, 20), "{what:?} can only change one weight");
        assert_ne!(weights(&done.bytes)[13], 2.0);
    }
    let nothing = corrupt(&model(&[0.0; 4]), &change(Damage::Zero, 1.0));
    assert_eq!(nothing, Err(CorruptError::NoEffect(4)));
}

#[test]
fn malformed_changes_are_refused() {
    let bytes = model(&SAMPLE);
    for share in [0.0, -0.1, 1.01, f64::NAN, f64::INFINITY] {
        assert!(matches!(corrupt(&bytes, &change(Damage::Zero, share)), Err(CorruptError::Share(_))), "{share}");
    }
    let bits = |what, bits| corrupt(&bytes, &Corruption { bits: Some(bits), ..change(what, 1.0) });
    assert_eq!(bits(Damage::ExponentBits, (3, 2)), Err(CorruptError::Bits(3, 2)));
    assert_eq!(bits(Damage::ExponentBits, (0, 8)), Err(CorruptError::Bits(0, 8)));
    assert_eq!(bits(Damage::Zero, (0, 7)), Err(CorruptError::NoBits));
    assert!(matches!(corrupt(b"pickle", &change(Damage::SignBit, 1.0)), Err(CorruptError::NotOnnx(_))));
    assert!(corrupt(b"pickle", &change(Damage::Bytes, 1.0)).is_ok(), "bytes can rot whatever they mean");
    assert_eq!(corrupt(b"", &change(Damage::Bytes, 1.0)), Err(CorruptError::NoWeights));
    let empty = [0x08, 8, 0x3a, 0];
    assert_eq!(corrupt(&empty, &change(Damage::Zero, 1.0)), Err(CorruptError::NoWeights));
}

#[test]
fn damage_keeps_its_place_for_ever() {
    // Golden: a change here changes what every scenario with a corruption has measured.
    let places = |what| -> Vec<usize> {
        let (old, new) = (model(&SAMPLE), corrupt(&model(&SAMPLE), &change(what, 0.1)).unwrap());
        (0..old.len()).filter(|&i| old[i] != new[i]).collect()
    };
    assert_eq!(KINDS.map(places), GOLDEN);
}
const GOLDEN: [&[usize]; 5] =
    [&[29, 61], &[28, 80], &[65, 85], &[30, 31, 32, 33, 34, 35, 36, 37], &[1, 2, 16, 33, 36, 38, 43, 68, 86]];

proptest! {
    #[test]
    fn the_share_is_hit_without_replacement_and_nothing_else_changes(
        values in prop::collection::vec(prop::num::f32::ANY, 1..25),
        kind in 0..5usize, share in 0.001..1.0f64, seed: u64,
    ) {
        let bytes = model(&values);
        let what = KINDS[kind];
        let done = match corrupt_counted(&bytes, &Corruption { what, share, seed, bits: None }) {
            Err(CorruptError::NoEffect(of)) => { prop_assert_eq!(of, values.len()); return Ok(()) }
            done => done.unwrap(),
        };
        prop_assert_eq!(done.bytes.len(), bytes.len());
        if what == Damage::Bytes {
            let flipped: u32 = done.bytes.iter().zip(&bytes).map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assert_eq!(flipped as usize, done.hits);
        } else {
            let after = weights(&done.bytes);
            let changed = values.iter().zip(&after).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            prop_assert_eq!(changed, done.hits);
            let outside = |b: &[u8]| b[..b.len() - 4 * values.len()].to_vec();
            prop_assert_eq!(outside(&done.bytes), outside(&bytes), "structure stays");
        }
        let wanted = (share * done.of as f64).round().max(1.0) as usize;
        prop_assert!(done.hits <= wanted && done.hits >= 1);
    }

    #[test]
    fn hits_of_a_smaller_share_are_among_those_of_a_larger(kind in 0..5usize, small in 0.01..1.0f64, large in 0.01..1.0f64, seed: u64) {
        let (small, large) = (small.min(large), small.max(large));
        let bytes = model(&SAMPLE);
        let hit = |share| corrupt(&bytes, &Corruption { what: KINDS[kind], share, seed, bits: None }).unwrap();
        let (few, many) = (hit(small), hit(large));
        prop_assert!((0..bytes.len()).all(|i| few[i] == bytes[i] || few[i] == many[i]));
    }
}
