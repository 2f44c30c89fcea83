//! Training the [`CharRnn`] on a text: parallel streams of consecutive characters, the state carried from
//! step to step, gradients cut at the step's border (truncated backpropagation through time).

use std::collections::HashMap;
use std::path::Path;

use atelier_package::Vocabulary;
use rand::Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Loss, Recipe, RecipeConfig, positive};
use crate::data::DataError;
use crate::data::text::Text;
use crate::graphs::Exportable;
use crate::nets::char_rnn::{CharRnn, CharRnnConfig, CharRnnDropout, State};
use crate::random;
use crate::store::Store;

/// `[family]` with `kind = "char-rnn"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CharRnnRecipeConfig {
    /// The text's file name.
    pub file: String,
    /// Size of the network.
    pub network: CharRnnConfig,
    /// Characters of each stream in a step.
    pub window: usize,
    /// Chance that a stream starts a step from an empty state, as a request does.
    pub reset: f64,
    /// What makes training harder.
    pub dropout: CharRnnDropout,
}

impl CharRnnRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        let d = &self.dropout;
        let chances = [
            ("reset", self.reset),
            ("dropout.input", d.input),
            ("dropout.between", d.between),
            ("dropout.output", d.output),
            ("dropout.weights", d.weights),
        ];
        for (name, value) in chances {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, 1)"));
            }
        }
        positive("family.window", self.window)?;
        positive("family.network.embedding", self.network.embedding)?;
        positive("family.network.layers", self.network.layers)?;
        positive("family.network.hidden", self.network.hidden)
    }
}

/// The family's part of a run.
pub struct CharRnnRecipe {
    config: CharRnnRecipeConfig,
    seed: u64,
    streams: usize,
    store: Store,
    network: CharRnn,
    text: Text,
    state: State<Tensor>,
}

impl CharRnnRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &CharRnnRecipeConfig,
        data: &Path,
        device: Device,
    ) -> Result<Self, DataError> {
        let text = Text::read(data, &config.file)?;
        let mut store = Store::new(common.seed, device);
        let network = CharRnn::new(&mut store, &config.network, text.vocabulary.len());
        let state = State::zeros(&config.network, common.batch, device);
        Ok(Self {
            config: config.clone(),
            seed: common.seed,
            streams: common.batch,
            store,
            network,
            text,
            state,
        })
    }

    /// Inputs and targets of a step, i64 `[window, streams]`. The text is taken as a ring that each epoch
    /// enters at another place, so that no character always stands at a border.
    fn tokens(&self, step: u64) -> (Tensor, Tensor) {
        let (window, per_epoch) = (self.config.window, self.steps_per_epoch());
        let length = self.text.train.len();
        let mut rng = random::generator(&[self.seed, random::ORDER, step / per_epoch]);
        let phase = (rng.next_u64() % length as u64) as usize;
        let offset = phase + (step % per_epoch) as usize * window;
        let take = |shift: usize| -> Tensor {
            let ids: Vec<i64> = (0..window)
                .flat_map(|t| (0..self.streams).map(move |s| offset + s * length / self.streams + t + shift))
                .map(|position| self.text.train[position % length])
                .collect();
            Tensor::from_slice(&ids)
                .reshape([window as i64, self.streams as i64])
                .to_device(self.store.device())
        };
        (take(0), take(1))
    }

    /// Mean nats a character over windows of the test text, each from an empty state: there is no other text to
    /// validate on, so that no weights may be chosen by it.
    fn windows(&self, window: usize, at_most: usize) -> f64 {
        let count = ((self.text.test.len() - 1) / window).min(at_most).max(1);
        let window = window.min(self.text.test.len() - 1);
        let take = |shift: usize| {
            let ids: Vec<i64> = (0..window)
                .flat_map(|t| (0..count).map(move |w| w * window + t + shift))
                .map(|position| self.text.test[position])
                .collect();
            Tensor::from_slice(&ids).reshape([window as i64, count as i64]).to_device(self.store.device())
        };
        let empty = State::zeros(self.network.config(), count, self.store.device());
        tch::no_grad(|| {
            let (logits, _) = self.network.sequence(&take(0), &empty, None);
            cross_entropy(&logits, &take(1)).double_value(&[])
        })
    }
}

fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Tensor {
    let classes = logits.size()[2];
    logits.reshape([-1, classes]).cross_entropy_for_logits(&targets.reshape([-1]))
}

impl Recipe for CharRnnRecipe {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn steps_per_epoch(&self) -> u64 {
        (self.text.train.len() / (self.streams * self.config.window)).max(1) as u64
    }

    fn loss(&mut self, step: u64, _turn: usize) -> Loss {
        let like = (Kind::Float, self.store.device());
        if step.is_multiple_of(self.steps_per_epoch()) {
            self.state = State::zeros(self.network.config(), self.streams, self.store.device());
        }
        let kept = Tensor::rand([1, self.streams as i64, 1], like).ge(self.config.reset).to_kind(Kind::Float);
        let state = State { h: &self.state.h * &kept, c: &self.state.c * &kept };
        let (tokens, targets) = self.tokens(step);
        let (logits, state) = self.network.sequence(&tokens, &state, Some(&self.config.dropout));
        self.state = state.detach();
        Loss { total: cross_entropy(&logits, &targets), parts: Vec::new() }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        vec![("nats", self.windows(256, usize::MAX))]
    }

    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        random::seed_torch(&[self.seed, random::VALIDATION]);
        let mut state = State::zeros(self.network.config(), 1, self.store.device());
        let mut id = self.text.test[0];
        let mut passage = String::new();
        tch::no_grad(|| {
            for _ in 0..600 {
                let token = Tensor::from_slice(&[id]).reshape([1, 1]).to_device(self.store.device());
                let (logits, next) = self.network.sequence(&token, &state, None);
                state = next;
                let chances = (logits.reshape([-1]) / 0.8).softmax(0, Kind::Float);
                id = chances.multinomial(1, false).int64_value(&[0]);
                passage.extend(self.text.vocabulary.get(id as usize));
            }
        });
        std::fs::write(directory.join(format!("{step:07}.txt")), passage)?;
        Ok(())
    }

    fn vocabulary(&self) -> Option<Vocabulary> {
        Some(Vocabulary { characters: self.text.vocabulary.clone() })
    }

    fn memory(&self) -> Vec<(String, Tensor)> {
        vec![("h".into(), self.state.h.shallow_clone()), ("c".into(), self.state.c.shallow_clone())]
    }

    fn recall(&mut self, memory: &HashMap<String, Tensor>) {
        if let (Some(h), Some(c)) = (memory.get("h"), memory.get("c")) {
            self.state = State { h: h.shallow_clone(), c: c.shallow_clone() };
        }
    }
}
