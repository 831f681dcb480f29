"""A roster to look at: mentors, their assignments, activities and certifications, the same for the
same seed, number and day.

Beside the eligible mentors there is a fifth more who must never be looked at, in equal shares:
paused, deactivated, and active without an active assignment. Of the eligible
    - a half were active in the last 50 days, a quarter not for 61 days or more, a quarter never
      (what the inactivity scenario judges);
    - a hundredth had their tenth activity yesterday (a milestone, where that scenario is enabled);
    - each twentieth has a second active assignment, never in contact, and must still be looked at
      once; the first one's last contact is the last activity (what reminders are due by);
    - a tenth have a certification that ends within 30 days, a tenth one that ends much later.
"""

# Foreign keys are off (`replica`): the rows are consistent as they are made, and a million of them
# take twice as long otherwise. For the same reason the activities come before their assignments:
# the contact trigger, which is always on, finds nothing to move, and last_contact_date is set as it
# would have been. Ids come from md5, so that their order says nothing about eligibility.
LOAD = """
begin;
set local session_replication_role = replica;
create temp table roster on commit drop as
select md5(:'seed' || ' mentor ' || i)::uuid as id, md5(:'seed' || ' user ' || i)::uuid as user_id,
       md5(:'seed' || ' assignment ' || i)::uuid as assignment_id, i,
       case when i <= :mentors then 'eligible'
            else (array['paused', 'deactivated', 'unassigned'])[1 + i % 3] end as kind,
       case i % 4 when 0 then current_date - (1 + i % 50)::int
                  when 1 then current_date - (1 + i % 50)::int
                  when 2 then current_date - (61 + i % 300)::int end as last_activity
  from generate_series(1, :mentors + :others) i
 order by 1;
insert into public.peer_mentors(id, user_id, status)
select id, user_id, case when kind in ('paused', 'deactivated') then kind else 'active' end
  from roster;
insert into public.activities(user_id, assignment_id, activity_date)
select user_id, assignment_id, last_activity from roster where last_activity is not null
 union all
select user_id, assignment_id, last_activity - 7 * n
  from roster, generate_series(1, 9) n where i % 100 = 0;
insert into public.assignments(id, peer_mentor_id, status, last_contact_date)
select assignment_id, id, case kind when 'unassigned' then 'completed' else 'active' end,
       last_activity from roster
 union all
select md5(:'seed' || ' second assignment ' || i)::uuid, id, 'active', null
  from roster where kind = 'eligible' and i % 20 = 0;
insert into public.certifications(id, peer_mentor_id, expires_on)
select md5(:'seed' || ' certification ' || i)::uuid, id,
       current_date + case i % 10 when 0 then 1 + (i / 10 % 30)::int else 300 end
  from roster where i % 10 in (0, 1);
commit;
analyze public.peer_mentors, public.assignments, public.activities, public.certifications;
"""


def load_roster(database, mentors, seed="reveille"):
    """Fill the empty host tables with `mentors` eligible mentors and a fifth more who are not.
    All or nothing; a million takes well under a minute."""
    if mentors > 0:
        database.sql(LOAD, role="postgres",
                     variables={"seed": seed, "mentors": mentors, "others": mentors // 5})
