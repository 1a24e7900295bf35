//! Owns the resolution of signals: names of columns, channels, segments and outcomes → what detectors are told.

use crate::detect::channel::Channel;
use crate::detect::config::{self as typed, Columns, Comparison, Level, SignalConfig, SignalKind};
use crate::detect::intervals::{IntervalConfig, Method};
use crate::detect::sequences::{Follower, SequenceConfig};
use crate::detect::sequential::Config as Detector;
use crate::detect::two_sample::Test;
use crate::id::OutcomeId;
use crate::plan::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::document::Place;
use crate::plan::resolve::small;
use crate::plan::signals::{self as wire, Signal};
use crate::time::Span;
use crate::world::config::Source;

/// What signals may name; `None` if it is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// Columns of each source of traffic.
    pub columns: Option<&'a [Vec<String>]>,
    /// Segments of users, `COLUMN=VALUE` joined by `/`.
    pub segments: Option<&'a [String]>,
    /// Business outcomes.
    pub outcomes: Option<&'a [String]>,
    /// Sources of traffic, which say what an outcome's values are.
    pub sources: Option<&'a [Source]>,
    /// Between two scrapes.
    pub scrape: Option<Span>,
}

/// One signal.
pub(crate) fn signal(
    name: &str,
    signal: &Signal,
    place: &Place<'_>,
    known: &Known<'_>,
    found: &mut Vec<Diagnostic>,
) -> SignalConfig {
    let mut resolve = Resolve { place, known, found, columns: Vec::new() };
    let kind = resolve.kind(signal);
    resolve.spans(&kind);
    SignalConfig { name: name.to_owned(), kind, columns: resolve.columns }
}

struct Resolve<'a, 'b> {
    place: &'a Place<'a>,
    known: &'a Known<'a>,
    found: &'b mut Vec<Diagnostic>,
    columns: Vec<String>,
}

const fn reference(wire: &wire::Reference) -> typed::Reference {
    match wire {
        wire::Reference::Baseline => typed::Reference::Baseline,
        wire::Reference::First(span) => typed::Reference::First(span.0),
        wire::Reference::Own(span) => typed::Reference::Own(span.0),
    }
}

impl Resolve<'_, '_> {
    /// Telemetry comes by scrapes: a shorter time is not what is looked at.
    fn spans(&mut self, kind: &SignalKind) {
        let Some(scrape) = self.known.scrape else { return };
        let window = match kind {
            SignalKind::BurnRate(burn) => Some(("short", burn.short)),
            kind => kind.window().map(|window| ("window", window)),
        };
        let reference = match kind.reference() {
            Some(typed::Reference::First(span)) => Some(("first", span)),
            Some(typed::Reference::Own(span)) => Some(("own", span)),
            Some(typed::Reference::Baseline) | None => None,
        };
        let key = if matches!(kind, SignalKind::Sequence(_)) { "standardise" } else { "reference" };
        for (key, (part, span)) in
            [(None, window), (Some(key), reference)].into_iter().filter_map(|(k, s)| Some((k, s?)))
        {
            let place = key.map_or_else(|| self.place.at(part), |key| self.place.at(key).at(part));
            if span < scrape {
                let message = format!("shorter than the time between two scrapes, {scrape}");
                let help = "whatever is declared, the least that is looked at is one scrape";
                self.found.push(place.wrong(message).help(help));
            }
        }
    }

    /// Complains of a key that changes nothing.
    fn idle(&mut self, key: &str, why: &str) {
        if self.place.at(key).exists() {
            self.found.push(self.place.at(key).wrong_key(format!("`{key}` does nothing here: {why}")));
        }
    }

    fn kind(&mut self, signal: &Signal) -> SignalKind {
        match signal {
            Signal::LatencyQuantile(w) => {
                SignalKind::LatencyQuantile { quantile: w.quantile, window: w.window.0, level: w.level }
            }
            Signal::ErrorRate(w) => SignalKind::ErrorRate { window: w.window.0, level: w.level },
            Signal::BurnRate(w) => self.burn_rate(w),
            Signal::Saturation(w) => SignalKind::Saturation {
                of: match w.of {
                    wire::Resource::Queue => typed::Resource::Queue,
                    wire::Resource::Cpu => typed::Resource::Cpu,
                    wire::Resource::Memory => typed::Resource::Memory,
                },
                window: w.window.0,
            },
            Signal::DataQuality(w) => self.data_quality(w),
            Signal::Accuracy(w) => self.labelled(typed::Quality::Accuracy, w),
            Signal::F1(w) => self.labelled(typed::Quality::F1, w),
            // A curve has no threshold: it is never read.
            Signal::Auc(w) => self.labels(typed::Quality::Auc, w.window, w.min, 0.5, w.level),
            Signal::Calibration(w) => {
                let measure = typed::Quality::Calibration { bins: w.bins as usize };
                self.labels(measure, w.window, w.min, 0.5, w.level)
            }
            Signal::PerformanceEstimate(w) => SignalKind::Estimate {
                measure: match w.measure {
                    wire::Estimated::Accuracy => typed::Estimated::Accuracy,
                    wire::Estimated::F1 => typed::Estimated::F1,
                },
                window: w.window.0,
                min: w.min as usize,
                threshold: w.threshold.0,
                level: w.level,
            },
            Signal::Fairness(w) => self.fairness(w),
            Signal::Outcome(w) => SignalKind::Outcome {
                of: self.outcome(&w.of, 0),
                window: w.window.0,
                min: w.min as usize,
                level: w.level,
            },
            Signal::Coin(w) => SignalKind::Coin { share: w.share.0 },
            Signal::ConfidenceSequence(w) => self.confidence_sequence(w),

            Signal::Ks(w) => self.comparison(w, Test::Ks),
            Signal::Psi(w) => self.comparison(w, Test::Psi),
            Signal::JensenShannon(w) => self.comparison(w, Test::JensenShannon),
            Signal::Hellinger(w) => self.comparison(w, Test::Hellinger),
            Signal::TotalVariation(w) => self.comparison(w, Test::TotalVariation),
            Signal::Wasserstein(w) => self.comparison(w, Test::Wasserstein),
            Signal::Energy(w) => self.comparison(w, Test::Energy),
            Signal::ChiSquared(w) => self.comparison(w, Test::ChiSquared),
            Signal::MannWhitney(w) => self.comparison(w, Test::MannWhitney),
            Signal::Welch(w) => self.comparison(w, Test::Welch),
            Signal::CramerVonMises(w) => self.comparison(w, Test::CramerVonMises),
            Signal::AndersonDarling(w) => self.comparison(w, Test::AndersonDarling),
            Signal::Kayenta(w) => self.comparison(w, Test::Kayenta),
            Signal::Mmd(w) => self.comparison(w, Test::Mmd),

            Signal::Cusum(w) => self.follow(w, Detector::Cusum),
            Signal::Ewma(w) => self.follow(w, Detector::Ewma),
            Signal::ShiryaevRoberts(w) => self.follow(w, Detector::ShiryaevRoberts),
            Signal::PageHinkley(w) => self.follow(w, Detector::PageHinkley),
            Signal::Adwin(w) => self.follow(w, Detector::Adwin),
            Signal::Ddm(w) => self.follow(w, Detector::Ddm),
            Signal::Eddm(w) => self.follow(w, Detector::Eddm),
            Signal::HddmA(w) => self.follow(w, Detector::HddmA),
            Signal::HddmW(w) => self.follow(w, Detector::HddmW),
            Signal::Fhddm(w) => self.follow(w, Detector::Fhddm),
            Signal::Kswin(w) => self.follow(w, Detector::Kswin),
            Signal::SprtBernoulli(w) => self.follow(w, Detector::SprtBernoulli),
            Signal::SprtGaussian(w) => self.follow(w, Detector::SprtGaussian),
            Signal::Msprt(w) => self.follow(w, Detector::Msprt),
            Signal::EDetector(w) => self.follow(w, Detector::EDetector),
            Signal::Ecdd(w) => self.follow(w, Detector::Ecdd),
            Signal::Stepd(w) => self.follow(w, Detector::Stepd),
            Signal::Rddm(w) => self.follow(w, Detector::Rddm),
            Signal::FrourosCusum(w) => self.follow(w, Detector::FrourosCusum),
            Signal::FrourosPageHinkley(w) => self.follow(w, Detector::FrourosPageHinkley),
        }
    }

    fn data_quality(&mut self, w: &wire::DataQuality) -> SignalKind {
        let defect = match w.defect {
            wire::Defect::Missing => typed::Defect::Missing,
            wire::Defect::OutOfRange => typed::Defect::OutOfRange,
            wire::Defect::Unseen => typed::Defect::Unseen,
            wire::Defect::Schema => typed::Defect::Schema,
        };
        if !defect.is_relative() {
            self.idle("reference", "such a value is wrong whatever others are; a rule may compare with `baseline.`");
        }
        SignalKind::DataQuality(typed::DataQuality {
            defect,
            of: self.columns(&w.of),
            window: w.window.0,
            reference: reference(&w.reference),
            min: w.min as usize,
            level: w.level,
        })
    }

    fn burn_rate(&mut self, w: &wire::BurnRate) -> SignalKind {
        if w.short.0 >= w.long.0 {
            let help =
                "the short window ends the alert soon after the trouble: the workbook takes a twelfth of the long one";
            self.found
                .push(self.place.at("short").wrong("the short window is not shorter than the long one").help(help));
        }
        SignalKind::BurnRate(typed::BurnRate {
            slo: w.slo,
            slower_than: w.slower_than.map(|d| d.0),
            long: w.long.0,
            short: w.short.0,
            factor: w.factor,
            min: u64::from(w.min),
        })
    }

    fn labelled(&mut self, measure: typed::Quality, w: &wire::Labelled) -> SignalKind {
        self.labels(measure, w.window, w.min, w.threshold.0, w.level)
    }

    fn labels(
        &mut self,
        measure: typed::Quality,
        window: wire::LabelWindow,
        min: u32,
        threshold: f64,
        level: Level,
    ) -> SignalKind {
        // Of 0 the schema has spoken.
        if (1..min).contains(&window.labels) {
            let message =
                format!("never a measurement: the window holds {} labels, but {min} are needed", window.labels);
            self.found.push(self.place.at("window").wrong(message).help(format!("`min` is {min} here")));
        }
        SignalKind::Labelled { measure, labels: window.labels as usize, min: min as usize, threshold, level }
    }

    fn fairness(&mut self, w: &wire::Fairness) -> SignalKind {
        let disparity = match w.disparity {
            wire::Disparity::DemographicParity => typed::Disparity::DemographicParity,
            wire::Disparity::EqualOpportunity => typed::Disparity::EqualOpportunity,
        };
        let (needs, other, given) = match disparity {
            typed::Disparity::DemographicParity => ("window", "labels", (w.window.is_some(), w.labels.is_some())),
            typed::Disparity::EqualOpportunity => ("labels", "window", (w.labels.is_some(), w.window.is_some())),
        };
        if !given.0 {
            let message = format!("missing key `{needs}`: how far back");
            let help = "`window = \"10m\"` for demographic-parity, `labels = 2000` for equal-opportunity";
            self.found.push(self.place.wrong(message).help(help));
        }
        if given.1 {
            self.idle(other, &format!("the disparity looks at its {needs}"));
        }
        if let Some(labels) = w.labels.filter(|labels| (1..2 * u64::from(w.min)).contains(&u64::from(*labels))) {
            let message = format!("never a measurement: {labels} labels are not two groups of {}", w.min);
            self.found.push(self.place.at("labels").wrong(message).help(format!("`min` is {} here", w.min)));
        }
        let (mut groups, mut names): (Vec<Option<u16>>, Vec<String>) = (Vec::new(), Vec::new());
        for segment in self.known.segments.unwrap_or_default() {
            let name = match &w.by {
                None => Some(segment.as_str()),
                Some(by) => segment.split('/').find(|part| part.split('=').next() == Some(by)),
            };
            groups.push(name.map(|name| {
                let place = names.iter().position(|n| n == name).unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                small(place)
            }));
        }
        if let Some((by, segments)) = w.by.as_deref().zip(self.known.segments).filter(|_| names.is_empty()) {
            let parts = segments.iter().flat_map(|s| s.split('/')).filter_map(|p| p.split_once('='));
            let mut columns: Vec<&str> = parts.map(|(column, _)| column).collect();
            columns.sort_unstable();
            columns.dedup();
            let message = format!("no source tells segments apart by `{by}`");
            self.found.push(self.place.at("by").wrong(message).maybe_help(did_you_mean(
                by,
                &columns,
                "columns of segments",
            )));
        }
        SignalKind::Fairness(typed::Fairness {
            disparity,
            groups,
            names,
            labels: w.labels.unwrap_or(0) as usize,
            window: w.window.map_or(Span::ZERO, |d| d.0),
            min: u64::from(w.min),
            threshold: w.threshold.0,
            level: w.level,
        })
    }

    /// The outcome of this name; it begins `skipped` bytes into the text of `of`.
    fn outcome(&mut self, name: &str, skipped: usize) -> OutcomeId {
        if let Some(outcomes) = self.known.outcomes {
            if let Some(place) = outcomes.iter().position(|o| o == name) {
                return OutcomeId(small(place));
            }
            let names: Vec<&str> = outcomes.iter().map(String::as_str).collect();
            let help = if names.is_empty() {
                Some("declare it under its source of traffic: `[traffic.outcomes.NAME]`".to_owned())
            } else {
                did_you_mean(name, &names, "outcomes of this scenario")
            };
            let part = skipped..skipped + name.len();
            let message = format!("the scenario has no outcome `{name}`");
            self.found.push(self.place.at("of").wrong_part(part, message).label("no such outcome").maybe_help(help));
        }
        OutcomeId(0)
    }

    fn comparison<T: Clone>(&mut self, w: &wire::Compared<T>, test: impl Fn(T) -> Test) -> SignalKind {
        let test = test(w.test.clone());
        if !test.has_level() {
            self.idle("looks", "a distance has no level that looks could share");
            self.idle("across", "a distance has no level that columns could share");
        } else if matches!(test, Test::Mmd(_)) {
            self.idle("across", "all columns are one test");
        }
        SignalKind::Comparison(Comparison {
            of: self.columns(&w.of),
            window: w.window.0,
            reference: reference(&w.reference),
            min: w.min as usize,
            across: w.across,
            looks: w.looks,
            test,
        })
    }

    fn follow<D: Clone>(&mut self, w: &wire::Followed<D>, detector: impl Fn(D) -> Detector) -> SignalKind {
        let detector = detector(w.detector.clone());
        if let Err(bad) = detector.check().and_then(|()| detector.never().map_or(Ok(()), Err)) {
            self.found.push(self.place.at(bad.parameter).wrong(bad.to_string()));
        }
        let bounded = detector.takes_errors() || matches!(detector, Detector::EDetector(_));
        let before = self.found.len();
        let of = self.channel(&w.of, w.class_threshold.0);
        let known = self.found.len() == before;
        if known && detector.takes_errors() && !self.is_rate(&of) {
            let help = "it counts errors: follow `failure`, `wrong`, or an outcome without an amount; an e-detector with \
                        `range` follows any metric that has bounds";
            self.found.push(self.place.at("of").wrong(format!("`{}` is not 0 or 1", w.of)).help(help));
        }
        if known && matches!(detector, Detector::EDetector(_)) {
            self.bounds(&w.of, &of);
        }
        if bounded && w.standardise.is_some() {
            let help = "standardised values have no bounds: leave `standardise` out";
            let message = "the detector is made for values within bounds";
            self.found.push(self.place.at("standardise").wrong_key(message).help(help));
        }
        SignalKind::Sequence(SequenceConfig {
            of,
            by: Follower::Detector(detector),
            standardise: w.standardise.as_ref().map(reference),
        })
    }

    /// Whether values are 0 or 1.
    fn is_rate(&self, of: &Channel) -> bool {
        let outcomes = self.known.sources.unwrap_or_default().iter().flat_map(|source| &source.outcomes);
        let amount = |id: &OutcomeId| outcomes.clone().any(|o| o.id == *id && o.amount.is_some());
        of.is_rate() && !matches!(of, Channel::Outcome(id) if amount(id))
    }

    /// Nobody but the policy's author knows the bounds of what is no rate.
    fn bounds(&mut self, name: &str, of: &Channel) {
        if !self.is_rate(of) && !self.place.at("range").exists() {
            let message = format!("missing key `range`: between which bounds `{name}` lies");
            self.found.push(self.place.wrong(message).help("write `range = [least, greatest]` in its unit"));
        }
    }

    fn confidence_sequence(&mut self, w: &wire::ConfidenceSequence) -> SignalKind {
        let [low, high] = w.range;
        if low >= high {
            self.found.push(self.place.at("range").wrong("the range is empty").help("write [least, greatest]"));
        }
        let method = match w.method {
            wire::SequenceMethod::EmpiricalBernstein => Method::EmpiricalBernstein { low, high },
            wire::SequenceMethod::BetaBinomial => Method::BetaBinomial { tuned_for: u64::from(w.tuned_for) },
        };
        let of = self.channel(&w.of, w.class_threshold.0);
        match method {
            Method::BetaBinomial { .. } if !self.is_rate(&of) => {
                let help = "it is for rates: `failure`, `wrong`, or an outcome without an amount; take empirical-bernstein here";
                self.found.push(self.place.at("of").wrong(format!("`{}` is not a rate", w.of)).help(help));
            }
            Method::BetaBinomial { .. } => {}
            Method::EmpiricalBernstein { .. } => self.bounds(&w.of, &of),
        }
        SignalKind::Sequence(SequenceConfig {
            of,
            by: Follower::Interval(IntervalConfig { method, alpha: 1.0 - w.confidence }),
            standardise: None,
        })
    }

    fn channel(&mut self, of: &str, threshold: f64) -> Channel {
        if let Some(name) = of.strip_prefix("outcome.") {
            return Channel::Outcome(self.outcome(name, "outcome.".len()));
        }
        match of {
            "score" => Channel::Score,
            "confidence" => Channel::Confidence,
            "latency" => Channel::Latency,
            "failure" => Channel::Failure,
            "wrong" => Channel::Wrong { threshold },
            "absolute-error" => Channel::AbsoluteError,
            "squared-error" => Channel::SquaredError,
            _ => {
                let fixed = ["score", "confidence", "latency", "failure", "wrong", "absolute-error", "squared-error"];
                self.feature(of, &fixed).map_or(Channel::Score, Channel::Feature)
            }
        }
    }

    fn columns(&mut self, of: &str) -> Columns {
        let first = self.known.columns.and_then(<[_]>::first).cloned().unwrap_or_default();
        let score = std::iter::once("score".to_owned());
        let (columns, names) = match of {
            "score" => (Columns::Score, score.collect()),
            "features" => (Columns::Features, first),
            "all" => (Columns::All, first.into_iter().chain(score).collect()),
            _ => match self.feature(of, &["score", "features", "all"]) {
                Some(index) => (Columns::Feature(index), vec![of.to_owned()]),
                None => (Columns::Score, Vec::new()),
            },
        };
        self.columns = names;
        if matches!(columns, Columns::Features | Columns::All) {
            self.alike();
        }
        columns
    }

    /// The place of a feature in every source.
    fn feature(&mut self, of: &str, others: &[&str]) -> Option<usize> {
        let Some([first, ..]) = self.known.columns else { return None };
        let Some(index) = first.iter().position(|c| c == of) else {
            let mut names = others.to_vec();
            names.extend(first.iter().map(String::as_str));
            let help = did_you_mean(of, &names, "it can be");
            let place = self.place.at("of");
            self.found.push(place.wrong(format!("unknown feature `{of}`")).label("no such feature").maybe_help(help));
            return None;
        };
        self.alike();
        Some(index)
    }

    /// Columns are known by their places, and rows with others are left out: so all sources must have the same.
    fn alike(&mut self) {
        let Some([first, rest @ ..]) = self.known.columns else { return };
        let Some(other) = rest.iter().position(|columns| columns != first) else { return };
        let place = 1 + first.iter().zip(&rest[other]).take_while(|(a, b)| a == b).count();
        let message = format!(
            "the sources of traffic have different columns: source {} differs from the first in column {place}",
            other + 2
        );
        let help = "signals over features need the same columns, in the same order, in every source; all others do not";
        self.found.push(self.place.at("of").wrong(message).help(help));
    }
}
