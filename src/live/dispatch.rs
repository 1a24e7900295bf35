//! Owns one request on its way: a row becomes a V2 request, and what comes back becomes its one end.

use crate::digest::Digest;
use crate::event::{Outcome, RequestEnd};
use crate::id::VersionId;
use crate::live::client::{Call, Http, Reply, Trouble, segment};
use crate::live::clock::Clock;
use crate::live::message::{Arrival, Strange};
use crate::live::proxy::UNREACHABLE;
use crate::live::replica::{ARTIFACT_HEADER, SHED_HEADER};
use crate::live::v2::{InferRequest, InferResponse, JSON_LENGTH_HEADER, V2Error, WantedOutput};
use crate::plan::Plan;
use crate::time::SimTime;
use crate::world::faults::Faults;
use crate::world::inference::{DataType, Tensor, TensorData};
use std::net::SocketAddr;
use std::time::Duration;

/// How a version is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Port {
    /// The name it is served under.
    pub(crate) model: String,
    input: String,
    /// FP32 or FP64.
    datatype: DataType,
    output: String,
    column: usize,
    /// Tensors go as raw bytes; a foreign server gets JSON, which every one takes.
    binary: bool,
    /// By declared source: which of its columns are fed, and in what order; `None`: as they are.
    columns: Vec<Option<Vec<usize>>>,
    /// What its answers carry as their digest while its bytes are what they should be.
    pub(crate) clean: Digest,
    /// A bad release: all of its answers are harmed.
    pub(crate) bad: bool,
}

/// The ports of all versions.
pub(crate) fn ports(plan: &Plan, faults: &Faults) -> Vec<Port> {
    let port = |i: usize| {
        let (shipped, bad) = faults.shipped(VersionId(i as u16));
        let signature = &shipped.artifact.signature;
        let own = Port {
            model: plan.names.version(VersionId(i as u16)).to_owned(),
            input: signature.input.clone(),
            datatype: DataType::Fp32,
            output: signature.output.clone(),
            column: signature.column,
            binary: true,
            columns: shipped.columns.clone(),
            clean: shipped.artifact.promised,
            bad,
        };
        match plan.foreign.as_ref().and_then(|foreign| foreign.models.get(i)) {
            None => own,
            Some(model) => Port {
                model: model.name.clone(),
                input: model.input.clone().unwrap_or(own.input),
                datatype: if model.double { DataType::Fp64 } else { DataType::Fp32 },
                output: model.output.clone().unwrap_or(own.output),
                column: model.column.unwrap_or(own.column),
                binary: false,
                ..own
            },
        }
    };
    (0..plan.world.versions.len()).map(port).collect()
}

impl Port {
    /// The path of its inference.
    fn path(&self) -> String {
        format!("/v2/models/{}/infer", segment(&self.model))
    }

    /// A row of a source as the model takes it.
    fn fed(&self, schema: usize, row: &[f32]) -> Vec<f32> {
        match self.columns.get(schema).and_then(Option::as_ref) {
            None => row.to_vec(),
            Some(columns) => columns.iter().map(|&c| row.get(c).copied().unwrap_or(f32::NAN)).collect(),
        }
    }

    /// The request for one row of a source.
    ///
    /// # Errors
    /// A row that JSON cannot say: an infinity.
    pub(crate) fn call(&self, server: SocketAddr, schema: usize, row: &[f32]) -> Result<Call, V2Error> {
        let values = self.fed(schema, row);
        let shape = vec![1, values.len()];
        let data = match self.datatype {
            DataType::Fp64 => TensorData::Fp64(values.into_iter().map(f64::from).collect()),
            _ => TensorData::Fp32(values),
        };
        let request = InferRequest {
            inputs: vec![Tensor { name: self.input.clone(), shape, data }],
            outputs: vec![WantedOutput { name: self.output.clone(), binary: None }],
            binary_output: self.binary,
            ..InferRequest::default()
        };
        let encoded = request.encode(self.binary)?;
        let call = Call::post(server, &self.path(), encoded.body.clone())
            .header("content-type", encoded.content_type().to_owned());
        Ok(match encoded.json_len {
            Some(length) => call.header(JSON_LENGTH_HEADER, length.to_string()),
            None => call,
        })
    }

    /// The score in an answer; or what is strange about it.
    pub(crate) fn score(&self, reply: &Reply) -> Result<f32, String> {
        if !reply.status.is_success() {
            return Err(reply.complaint());
        }
        let json_len = reply.header(JSON_LENGTH_HEADER).and_then(|length| length.parse().ok());
        let response = InferResponse::decode(&reply.body, json_len).map_err(|e| format!("no V2 answer: {e}"))?;
        let output =
            response.output(&self.output).ok_or_else(|| format!("no output `{}` in the answer", self.output))?;
        let score = match &output.data {
            TensorData::Fp32(values) => values.get(self.column).copied(),
            TensorData::Fp64(values) => values.get(self.column).map(|&v| v as f32),
            TensorData::Int64(values) => values.get(self.column).map(|&v| v as f32),
            TensorData::Int32(values) => values.get(self.column).map(|&v| v as f32),
            _ => None,
        };
        score.ok_or_else(|| format!("output `{}` has no number at column {}", self.output, self.column))
    }
}

/// The end of a request.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: RequestEnd,
    pub(crate) strange: Option<Strange>,
}

/// Sends a request to a replica and waits for its answer, its deadline at most. `end`: its end without an answer.
pub(crate) async fn dispatch(
    http: &Http,
    port: &Port,
    server: SocketAddr,
    mut end: RequestEnd,
    arrival: &Arrival,
    deadline: SimTime,
    clock: Clock,
) -> Ended {
    let (block, slot) = (&arrival.block, arrival.slot);
    let row = &block.features[slot * block.width..(slot + 1) * block.width];
    let call = match port.call(server, arrival.schema.index(), row) {
        Ok(call) => call,
        Err(e) => {
            (end.outcome, end.ended) = (Outcome::Failed, clock.now().max(end.arrived));
            return Ended { end, strange: Some(Strange { kind: "request", what: e.to_string() }) };
        }
    };
    // A response that comes at the deadline is late by the runtime's timer, a millisecond wide: the clock decides.
    let reply = http.call(call, clock.until(deadline) + TIMER).await;
    end.ended = clock.now().max(end.arrived);
    let strange = |kind, what| Some(Strange { kind, what });
    let strange = match reply {
        _ if end.ended >= deadline => {
            (end.outcome, end.ended) = (Outcome::TimedOut, deadline);
            None
        }
        Err(Trouble::Late) => {
            (end.outcome, end.ended) = (Outcome::TimedOut, deadline);
            None
        }
        Err(Trouble::Unreachable(_)) => {
            end.outcome = Outcome::Unavailable;
            None
        }
        Err(Trouble::Broken(what)) => {
            end.outcome = Outcome::Lost;
            strange("broken", what)
        }
        Err(Trouble::Garbage(what)) => {
            end.outcome = Outcome::Failed;
            strange("garbage", what)
        }
        Ok(reply) if reply.headers.contains_key(UNREACHABLE) => {
            end.outcome = Outcome::Unavailable;
            None
        }
        Ok(reply) if reply.headers.contains_key(SHED_HEADER) => {
            end.outcome = Outcome::Shed;
            None
        }
        Ok(reply) => match port.score(&reply) {
            Ok(score) => {
                let told = reply.header(ARTIFACT_HEADER).and_then(Digest::parse);
                end.tainted = port.bad || told.is_some_and(|digest| digest != port.clean);
                (end.outcome, end.score) = (Outcome::Answered, score);
                None
            }
            Err(what) => {
                end.outcome = Outcome::Failed;
                strange(if reply.status.is_success() { "answer" } else { "status" }, what)
            }
        },
    };
    Ended { end, strange }
}

/// As wide as the runtime's timers are.
const TIMER: Duration = Duration::from_millis(1);
