//! Owns the random numbers of `CPython`'s `random.Random`: MT19937, seeded by an integer, and draws without replacement. For
//! nothing but to draw what a reference written in Python drew; everything else draws from [`crate::rng::Stream`].
//!
//! Source: Matsumoto and Nishimura, ACM TOMACS 8 (1998) 3-30, with the initialisation of 2002 (`init_by_array`); the Python
//! manual, module `random`.

const N: usize = 624;
const M: usize = 397;

/// A Mersenne Twister.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mersenne {
    words: Vec<u32>,
    next: usize,
}

impl Mersenne {
    /// `random.Random(seed)`.
    pub(super) fn new(seed: u64) -> Self {
        let (low, high) = (seed as u32, (seed >> 32) as u32);
        let key: &[u32] = if high == 0 { &[low] } else { &[low, high] };
        let mut words = vec![0_u32; N];
        words[0] = 19_650_218;
        let mixed = |before: u32| before ^ (before >> 30);
        for i in 1..N {
            words[i] = mixed(words[i - 1]).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        let mut i = 1;
        for j in 0..N {
            let j = j % key.len();
            let word = words[i] ^ mixed(words[i - 1]).wrapping_mul(1_664_525);
            words[i] = word.wrapping_add(key[j]).wrapping_add(j as u32);
            i = forward(&mut words, i);
        }
        for _ in 1..N {
            let word = words[i] ^ mixed(words[i - 1]).wrapping_mul(1_566_083_941);
            words[i] = word.wrapping_sub(i as u32);
            i = forward(&mut words, i);
        }
        words[0] = 1 << 31;
        Self { words, next: N }
    }

    /// `sample(range(n), k)`: `k` different numbers below `n`, in the order drawn. `order` is scratch memory.
    pub(super) fn sample(&mut self, n: usize, k: usize, order: &mut Vec<usize>, out: &mut Vec<usize>) {
        out.clear();
        // Python weighs the memory of a set of k against that of a list of n: 21 is a small set's advantage.
        let mut set = 21;
        if k > 5 {
            let mut table = 1;
            while table < 3 * k {
                table *= 4;
            }
            set += table;
        }
        if n <= set {
            order.clear();
            order.extend(0..n);
            for i in 0..k {
                let j = self.below(n - i);
                out.push(order[j]);
                order[j] = order[n - i - 1];
            }
        } else {
            // Sorted, for the search.
            order.clear();
            while out.len() < k {
                let j = self.below(n);
                if let Err(place) = order.binary_search(&j) {
                    order.insert(place, j);
                    out.push(j);
                }
            }
        }
    }

    /// A number below `n`, by rejection; `n` is positive and fits 32 bits.
    fn below(&mut self, n: usize) -> usize {
        let bits = usize::BITS - n.leading_zeros();
        loop {
            let r = (self.word() >> (32 - bits)) as usize;
            if r < n {
                return r;
            }
        }
    }

    fn word(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.words[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        let w = &mut self.words;
        for i in 0..N {
            let y = (w[i] & 0x8000_0000) | (w[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            w[i] = w[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// Bytes behind pointers.
    pub(super) fn heap(&self) -> usize {
        self.words.capacity() * size_of::<u32>()
    }
}

/// The next place of the initialisation, which skips the first and carries the last over into it.
fn forward(words: &mut [u32], i: usize) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    words[0] = words[N - 1];
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seed: u64, n: usize, k: usize) -> Vec<usize> {
        let (mut order, mut out) = (Vec::new(), Vec::new());
        Mersenne::new(seed).sample(n, k, &mut order, &mut out);
        out
    }

    #[test]
    fn words_are_those_of_the_published_generator() {
        // Python 3.11: random.Random(seed).getrandbits(32).
        let first = |seed| {
            let mut mersenne = Mersenne::new(seed);
            [mersenne.word(), mersenne.word(), mersenne.word()]
        };
        assert_eq!(first(42), [2_746_317_213, 478_163_327, 107_420_369]);
        assert_eq!(first(0), [3_626_764_237, 1_654_615_998, 3_255_389_356]);
        assert_eq!(first(0x1234_5678_9abc_def0), [3_646_699_384, 2_523_371_432, 4_144_361_526]);
        let mut mersenne = Mersenne::new(42);
        (0..2000).for_each(|_| _ = mersenne.word());
        assert_eq!(mersenne.word(), 426_724_858);
    }

    #[test]
    fn samples_are_those_of_python() {
        // Python 3.11: random.Random(7).sample(range(n), k). The first two shuffle a list, the last keeps a set.
        assert_eq!(sample(7, 20, 5), [10, 4, 12, 1, 2]);
        assert_eq!(sample(7, 70, 10), [41, 19, 50, 6, 9, 12, 46, 37, 3, 58]);
        assert_eq!(sample(7, 5000, 8), [2_652, 1_235, 3_234, 395, 593, 4_389, 771, 2_995]);
        assert_eq!(sample(7, 100, 90).len(), 90);
    }
}
