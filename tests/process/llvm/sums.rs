// A program as rustc's optimizer makes it: collections, formatting, 128-bit and floating-point
// arithmetic, closures, panics that are caught. It prints what `sums.txt` says.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf29ce484222325, |h, b| (h ^ b as u64).wrapping_mul(0x100000001b3))
}

fn divisions(r: &mut Random) -> u64 {
    let mut h = 0u64;
    for _ in 0..20000 {
        let (a, b) = (r.next() as i64, (r.next() >> (r.next() % 64)) as i64);
        if b == 0 {
            continue;
        }
        let (q, m) = (a.wrapping_div(b), a.wrapping_rem(b));
        let (s, t) = (a as i32, (b as i32) | 1);
        h = h.rotate_left(7) ^ (q as u64).wrapping_mul(31) ^ (m as u64);
        h ^= (s.wrapping_div(t) as u64) ^ (s.wrapping_rem(t) as u64).rotate_left(32);
        let wide = (a as u64 as u128) * (b as u64 as u128);
        h ^= (wide >> 64) as u64 ^ (wide % ((m as u64 | 1) as u128)) as u64;
        h ^= ((a as i128 * b as i128) >> 64) as u64;
    }
    h
}

fn maps(r: &mut Random) -> (usize, u64) {
    let mut tree = BTreeMap::new();
    let mut table: HashMap<u64, VecDeque<u64>> = HashMap::new();
    for n in 0..20000u64 {
        let k = r.next() % 3000;
        *tree.entry(k).or_insert(0u64) += n;
        let q = table.entry(k % 97).or_default();
        q.push_back(n);
        if q.len() > 50 {
            q.pop_front();
        }
        if n % 5 == 0 {
            tree.remove(&(r.next() % 3000));
        }
    }
    let sum = tree.iter().fold(0u64, |s, (k, v)| s.wrapping_mul(1000003).wrapping_add(k ^ v));
    let mut keys: Vec<_> = table.iter().map(|(k, q)| (*k, q.iter().sum::<u64>())).collect();
    keys.sort();
    (tree.len(), keys.iter().fold(sum, |s, (k, v)| s.rotate_left(5) ^ k ^ v))
}

fn text(r: &mut Random) -> u64 {
    let mut s = String::new();
    for _ in 0..3000 {
        let f = f64::from_bits(r.next());
        let g = (r.next() % 1000000) as f32 / 128.0;
        write!(s, "{:e} {:.3} {:?} {:>10x} ", f, g, g as f64 * 1.1, r.next()).unwrap();
        let back: f64 = format!("{:?}", f).parse().unwrap();
        assert!(back.to_bits() == f.to_bits() || f.is_nan());
    }
    fnv(&s)
}

fn sorting(r: &mut Random) -> u64 {
    let mut v: Vec<(u32, f64)> =
        (0..20000).map(|_| (r.next() as u32 % 5000, (r.next() >> 12) as f64 / 3.0)).collect();
    v.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.partial_cmp(&a.1).unwrap()));
    let mut w: Vec<u32> = v.iter().map(|e| e.0.rotate_left(e.1 as u32 % 32)).collect();
    w.sort_unstable();
    v.iter().zip(&w).fold(0, |h, (a, b)| h.rotate_left(3) ^ a.1.to_bits() ^ *b as u64)
}

fn panics() -> usize {
    std::panic::set_hook(Box::new(|_| {}));
    (0..200usize)
        .filter(|n| {
            std::panic::catch_unwind(|| {
                let v = [1usize, 2, 3];
                v[n % 5] / (n % 3)
            })
            .is_err()
        })
        .count()
}

fn main() {
    let mut r = Random(0x2545f4914f6cdd1d);
    println!("divisions {:016x}", divisions(&mut r));
    println!("maps {:?}", maps(&mut r));
    println!("text {:016x}", text(&mut r));
    println!("sorting {:016x}", sorting(&mut r));
    println!("panics {}", panics());
    let sums: Vec<u64> = (0..4)
        .map(|n| std::thread::spawn(move || divisions(&mut Random(n + 1))))
        .map(|t| t.join().unwrap())
        .collect();
    println!("threads {:x?}", sums);
}
