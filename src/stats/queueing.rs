//! Owns the waiting-time formulas of textbook queues, to hold a simulated queue to.
//!
//! Rates are events per unit of time (any unit, results are in it); "wait" is time in the queue, service excluded. Sources:
//! A. K. Erlang (1917) for M/M/c; F. Pollaczek (1930) and A. Khinchine (1932) for M/G/1; see D. Gross & C. M. Harris,
//! "Fundamentals of Queueing Theory", chapters 2 and 5. All give `None` where there is no steady state (load of 1 or more) and
//! for rates that are not positive and finite.

/// A queue with Poisson arrivals, exponential service and `c` servers, in steady state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mmc {
    wait_probability: f64,
    /// `c mu - lambda`: how fast a queue that exists is worked off.
    spare_rate: f64,
    service_rate: f64,
    load: f64,
}

impl Mmc {
    /// M/M/c; with one server M/M/1.
    #[must_use]
    pub fn new(arrival_rate: f64, service_rate: f64, servers: u32) -> Option<Self> {
        let load = load_of(arrival_rate, service_rate, servers)?;
        let blocked = erlang_b(arrival_rate / service_rate, servers)?;
        Some(Self {
            wait_probability: blocked / (1.0 - load * (1.0 - blocked)),
            spare_rate: f64::from(servers) * service_rate - arrival_rate,
            service_rate,
            load,
        })
    }

    /// The share of time a server is busy, `lambda / (c mu)`.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.load
    }

    /// Erlang C: the share of arrivals that have to wait.
    #[must_use]
    pub fn wait_probability(&self) -> f64 {
        self.wait_probability
    }

    /// The mean wait, over all arrivals.
    #[must_use]
    pub fn mean_wait(&self) -> f64 {
        self.wait_probability / self.spare_rate
    }

    /// The mean time from arrival to completion.
    #[must_use]
    pub fn mean_response(&self) -> f64 {
        self.mean_wait() + 1.0 / self.service_rate
    }

    /// P(wait > t), first come, first served.
    #[must_use]
    pub fn wait_above(&self, t: f64) -> f64 {
        if t < 0.0 { 1.0 } else { self.wait_probability * libm::exp(-self.spare_rate * t) }
    }

    /// The `q`-quantile of the wait, 0 if so many need not wait; `None` unless `0 <= q < 1`.
    #[must_use]
    pub fn wait_quantile(&self, q: f64) -> Option<f64> {
        if !(0.0..1.0).contains(&q) {
            return None;
        }
        Some((libm::log(self.wait_probability / (1.0 - q)) / self.spare_rate).max(0.0))
    }
}

/// Erlang B: the share of arrivals lost by `servers` without a queue under `offered` erlangs (arrival rate over service
/// rate), by the recursion `B(c) = a B(c-1) / (c + a B(c-1))`. Has a steady state at any load.
#[must_use]
pub fn erlang_b(offered: f64, servers: u32) -> Option<f64> {
    if !(offered > 0.0 && offered.is_finite()) {
        return None;
    }
    Some((1..=servers).fold(1.0, |blocked, c| offered * blocked / (f64::from(c) + offered * blocked)))
}

/// Pollaczek and Khinchine's mean wait of a single server with Poisson arrivals and any service time of this mean and squared
/// coefficient of variation (variance over squared mean; 0: constant, 1: exponential).
#[must_use]
pub fn mg1_mean_wait(arrival_rate: f64, service_rate: f64, service_cv2: f64) -> Option<f64> {
    let load = load_of(arrival_rate, service_rate, 1)?;
    if !(service_cv2 >= 0.0 && service_cv2.is_finite()) {
        return None;
    }
    Some(load * (1.0 + service_cv2) / (2.0 * service_rate * (1.0 - load)))
}

/// The mean wait of M/D/1: a single server, Poisson arrivals, constant service time; half of M/M/1's.
#[must_use]
pub fn md1_mean_wait(arrival_rate: f64, service_rate: f64) -> Option<f64> {
    mg1_mean_wait(arrival_rate, service_rate, 0.0)
}

fn load_of(arrival_rate: f64, service_rate: f64, servers: u32) -> Option<f64> {
    let positive = |rate: f64| rate > 0.0 && rate.is_finite();
    let load = arrival_rate / (service_rate * f64::from(servers));
    (positive(arrival_rate) && positive(service_rate) && servers > 0 && load < 1.0).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_its_closed_forms() {
        let queue = Mmc::new(0.8, 1.0, 1).unwrap();
        assert!((queue.wait_probability() - 0.8).abs() < 1e-15);
        assert!((queue.mean_wait() - 4.0).abs() < 1e-13);
        assert!((queue.mean_response() - 5.0).abs() < 1e-13);
        assert!((md1_mean_wait(0.8, 1.0).unwrap() - 2.0).abs() < 1e-13);
        assert!((mg1_mean_wait(0.8, 1.0, 1.0).unwrap() - queue.mean_wait()).abs() < 1e-13);
    }

    #[test]
    fn the_quantile_inverts_the_tail() {
        let queue = Mmc::new(17.0, 1.0, 20).unwrap();
        for q in [0.8, 0.95, 0.999] {
            let t = queue.wait_quantile(q).unwrap();
            assert!((queue.wait_above(t) - (1.0 - q)).abs() < 1e-14);
        }
        assert_eq!(queue.wait_quantile(0.1), Some(0.0));
        assert_eq!(queue.wait_above(-1.0), 1.0);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for (arrival, service, servers) in
            [(1.0, 1.0, 1), (2.0, 1.0, 1), (0.0, 1.0, 1), (1.0, f64::NAN, 1), (1.0, 2.0, 0)]
        {
            assert_eq!(Mmc::new(arrival, service, servers), None);
        }
        assert_eq!(md1_mean_wait(1.0, f64::INFINITY), None);
        assert_eq!(mg1_mean_wait(0.5, 1.0, -1.0), None);
        assert_eq!(erlang_b(f64::NAN, 3), None);
        assert_eq!(Mmc::new(0.5, 1.0, 1).unwrap().wait_quantile(1.0), None);
    }
}
