//! stub
use super::Interval;
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EmpiricalBernstein;
impl EmpiricalBernstein {
    pub fn new(_a: f64) -> Option<Self> {
        None
    }
    pub fn add(&mut self, _x: f64) {}
    pub fn mean(&self) -> Option<f64> {
        None
    }
    pub fn interval(&self) -> Option<Interval> {
        None
    }
    pub fn count(&self) -> u64 {
        0
    }
}
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BetaBinomial;
impl BetaBinomial {
    pub fn new(_a: f64, _t: f64) -> Option<Self> {
        None
    }
    pub fn add(&mut self, _x: bool) {}
    pub fn mean(&self) -> Option<f64> {
        None
    }
    pub fn interval(&self) -> Option<Interval> {
        None
    }
    pub fn count(&self) -> u64 {
        0
    }
}
