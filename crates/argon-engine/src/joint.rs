//! One question to the store for all who ask at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, watch};

/// A question whose answer may be shared by everybody who asked before it was put.
///
/// An answer to a question that was under way when somebody asked is not for them: it may be older than what they
/// have to see. They share the next one.
pub(crate) struct Joint<T> {
    /// Questions put so far.
    put: AtomicU64,
    /// Whoever holds it puts the next question.
    turn: tokio::sync::Mutex<()>,
    answered: watch::Sender<Answered<T>>,
}

/// The last answer, and to which question.
struct Answered<T> {
    number: u64,
    answer: Option<T>,
}

impl<T> Default for Joint<T> {
    fn default() -> Self {
        let answered = Answered {
            number: 0,
            answer: None,
        };
        Joint {
            put: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            answered: watch::Sender::new(answered),
        }
    }
}

impl<T: Clone> Joint<T> {
    /// The answer to a question that is put after this was called: by this caller, or by another.
    pub(crate) async fn ask(&self, question: impl Future<Output = T>) -> T {
        let wanted = self.put.load(Ordering::Acquire) + 1;
        let mut answered = self.answered.subscribe();
        loop {
            if let Some(answer) = answered.borrow_and_update().since(wanted) {
                return answer;
            }
            if let Ok(turn) = self.turn.try_lock() {
                let turn = Turn {
                    joint: self,
                    turn: Some(turn),
                };
                if let Some(answer) = self.answered.borrow().since(wanted) {
                    return answer;
                }
                let number = self.put.fetch_add(1, Ordering::AcqRel) + 1;
                let answer = question.await;
                turn.end(number, answer.clone());
                return answer;
            }
            // The sender is in `self`, so this ends when somebody's turn does.
            let _ = answered.changed().await;
        }
    }

    /// How many questions were put.
    pub(crate) fn put(&self) -> u64 {
        self.put.load(Ordering::Relaxed)
    }
}

impl<T: Clone> Answered<T> {
    fn since(&self, wanted: u64) -> Option<T> {
        self.answer
            .as_ref()
            .filter(|_| self.number >= wanted)
            .cloned()
    }
}

/// Somebody's turn to put the question. However it ends, the others hear of it.
struct Turn<'a, T> {
    joint: &'a Joint<T>,
    turn: Option<MutexGuard<'a, ()>>,
}

impl<T> Turn<'_, T> {
    fn end(mut self, number: u64, answer: T) {
        // First, so that whoever wakes up can take it.
        self.turn = None;
        self.joint.answered.send_modify(|answered| {
            if answered.number < number {
                answered.number = number;
                answered.answer = Some(answer);
            }
        });
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        // Given up, or not needed: one of those who wait has to take over.
        if self.turn.take().is_some() {
            self.joint.answered.send_modify(|_| {});
        }
    }
}

/// Questions by what they are about, each kept for as long as somebody asks it.
pub(crate) struct Joints<T> {
    joints: Mutex<HashMap<String, Arc<Joint<T>>>>,
}

impl<T> Default for Joints<T> {
    fn default() -> Self {
        Joints {
            joints: Mutex::default(),
        }
    }
}

impl<T: Clone> Joints<T> {
    /// The answer to a question about `key` that is put after this was called, as [`Joint::ask`] gives it.
    pub(crate) async fn ask(&self, key: &str, question: impl Future<Output = T>) -> T {
        let joint = Arc::clone(self.joints.lock().entry(key.to_owned()).or_default());
        let asking = Asking {
            joints: self,
            key,
            joint: Some(joint),
        };
        match &asking.joint {
            Some(joint) => joint.ask(question).await,
            None => question.await,
        }
    }
}

/// Somebody who asks about a key.
struct Asking<'a, T> {
    joints: &'a Joints<T>,
    key: &'a str,
    /// There until it is dropped.
    joint: Option<Arc<Joint<T>>>,
}

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        let mut joints = self.joints.joints.lock();
        self.joint = None;
        if joints
            .get(self.key)
            .is_some_and(|joint| Arc::strong_count(joint) == 1)
        {
            joints.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    /// Answers with its place in the order, once it is let.
    async fn counted(count: &AtomicU32, gate: &Semaphore) -> u32 {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        gate.acquire().await.unwrap().forget();
        number
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn who_asks_while_a_question_is_under_way_shares_the_next() {
        let joint = Arc::new(Joint::default());
        let (count, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (joint, count, gate) = (Arc::clone(&joint), Arc::clone(&count), Arc::clone(&gate));
            tokio::spawn(async move { joint.ask(counted(&count, &gate)).await })
        };
        let first = ask();
        until(|| joint.put() == 1).await;
        let rest: Vec<_> = (0..10).map(|_| ask()).collect();
        until(|| joint.answered.receiver_count() == 11).await;
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), 1);
        for one in rest {
            assert_eq!(one.await.unwrap(), 2);
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_question_given_up_is_put_by_the_next() {
        let joint = Arc::new(Joint::default());
        let gate = Arc::new(Semaphore::new(0));
        let count = Arc::new(AtomicU32::new(0));
        let ask = || {
            let (joint, count, gate) = (Arc::clone(&joint), Arc::clone(&count), Arc::clone(&gate));
            tokio::spawn(async move { joint.ask(counted(&count, &gate)).await })
        };
        let first = ask();
        until(|| joint.put() == 1).await;
        let second = ask();
        until(|| joint.answered.receiver_count() == 2).await;
        first.abort();
        gate.add_permits(1);
        assert_eq!(second.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_key_is_forgotten_when_nobody_asks_any_more() {
        let joints = Arc::new(Joints::default());
        let gate = Arc::new(Semaphore::new(0));
        let count = Arc::new(AtomicU32::new(0));
        let ask = |key: &'static str| {
            let (joints, count, gate) =
                (Arc::clone(&joints), Arc::clone(&count), Arc::clone(&gate));
            tokio::spawn(async move { joints.ask(key, counted(&count, &gate)).await })
        };
        let asking = [ask("a"), ask("b"), ask("a")];
        until(|| count.load(Ordering::Relaxed) == 2).await;
        gate.add_permits(3);
        for one in asking {
            one.await.unwrap();
        }
        assert!(joints.joints.lock().is_empty());
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }
}
