//! What has to happen in Redis as one step.
//!
//! The clock of the leases is Redis's own. Keys are computed in the scripts, so they don't run on a Redis Cluster; Celery doesn't
//! either.

use std::sync::LazyLock;

use redis::Script;

/// Renews the lease of a worker, or takes or ends it, and gives back what workers without a lease have taken.
///
/// Keys: the workers. Arguments: the worker, the lease in milliseconds, `join`, `renew` or `leave`, what the names of our keys begin
/// with, both queues. Answers whether the worker has a lease, and how many messages were given back.
pub(super) static TEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local workers, me, lease, wish, base = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
        local time = redis.call('time')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local mine, given_back = 0, 0
        local ends = redis.call('zscore', workers, me)
        if wish == 'leave' then
            if ends then redis.call('zadd', workers, now - 1, me) end
        elseif wish == 'join' or (ends and tonumber(ends) > now) then
            redis.call('zadd', workers, now + lease, me)
            mine = 1
        end
        for _, worker in ipairs(redis.call('zrangebyscore', workers, '-inf', now)) do
            local taken = base .. 'taken:' .. worker
            local fields = redis.call('hkeys', taken)
            table.sort(fields, function(a, b)
                return tonumber(string.match(a, '^%d+')) < tonumber(string.match(b, '^%d+'))
            end)
            for _, field in ipairs(fields) do
                local queue, attempts = string.match(field, '^%d+ (%d+) (%d+)$')
                local again = string.format('%d:', attempts + 1) .. redis.call('hget', taken, field)
                redis.call('lpush', base .. 'returned:' .. queue, again)
                redis.call('hdel', taken, field)
                given_back = given_back + 1
            end
            for queue = 1, 2 do
                local inbox = base .. 'inbox:' .. worker .. ':' .. queue
                local message = redis.call('lpop', inbox)
                while message do
                    redis.call('rpush', ARGV[4 + queue], message)
                    given_back = given_back + 1
                    message = redis.call('lpop', inbox)
                end
            end
        end
        -- A worker that was paused may still put something into its inbox when it wakes.
        redis.call('zremrangebyscore', workers, '-inf', now - 3600000)
        return {mine, given_back}
        ",
    )
});

/// Takes messages for a worker that has a lease, and renews it; in turns from both queues, first what was given back.
///
/// Keys: the workers, what this one has taken, its two inboxes, the two lists of what was given back, the two queues. Arguments: the
/// worker, the lease in milliseconds, how many messages and bytes at most, and the number of the last message. Answers fields and
/// messages, or nothing if the lease was lost.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local workers, taken, me, lease = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
        local most, room, number = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
        local time = redis.call('time')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local ends = redis.call('zscore', workers, me)
        if not ends or tonumber(ends) <= now then return false end
        redis.call('zadd', workers, now + lease, me)
        local answer = {}
        local function full()
            return #answer >= 2 * most or room <= 0
        end
        local function keep(message, queue, attempts)
            number = number + 1
            local field = string.format('%d %d %d', number, queue, attempts)
            redis.call('hset', taken, field, message)
            answer[#answer + 1] = field
            answer[#answer + 1] = message
            room = room - #message
            return true
        end
        local function one(queue)
            local again = redis.call('rpop', KEYS[4 + queue])
            if again then
                local colon = string.find(again, ':', 1, true) or 0
                local attempts = tonumber(string.sub(again, 1, colon - 1)) or 0
                return keep(string.sub(again, colon + 1), queue, attempts)
            end
            local message = redis.call('rpop', KEYS[2 + queue]) or redis.call('rpop', KEYS[6 + queue])
            return message and keep(message, queue, 0)
        end
        local any = true
        while any do
            any = false
            for queue = 1, 2 do
                if not full() and one(queue) then any = true end
            end
        end
        return answer
        ",
    )
});

/// Puts a message aside if the worker still has it.
///
/// Keys: what the worker has taken, the dead letters. Arguments: the field, the letter.
pub(super) static PUT_ASIDE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('hdel', KEYS[1], ARGV[1]) == 0 then return 0 end
        redis.call('lpush', KEYS[2], ARGV[2])
        return 1
        ",
    )
});
