"""English."""

from toolguard.listen.numbers import english
from toolguard.listen.words import Language

ENGLISH = Language(
    code="en",
    phrases={
        "filler": "eh,uh,um,uhm,er,erm,hm,hmm,ah,oh,well,so,like,you know,please,hey,actually,just,kindly,now,then",
        "it": "i need,i d like,i d like to,you,can,could,would,have,need,want,let s,on,is it too late to,that,it,"
        "this,the,a,an,my,our,me,for me,for us,us,for,everything,all,of,all of it,booking,reservation,"
        "order,appointment,payment,request,whole,thing,to,of that,i,we,is,be,i want to,i would like to,and",
        "yes": "yes,yeah,yep,yup,ya,ok,okay,k,alright,all right,right,sure,mm hm,mhm,mm hmm,mmhmm,uh huh,mm,mmm,"
        "aha,"
        "i see,got it,great,good,perfect,fine,cool,nice,thanks,thank you,thank you so much,thanks so much,"
        "thanks a lot,very good,"
        "no problem,no worries,of course,sounds good,sounds great,that s fine,that s great,that s good,"
        "that s okay,"
        "wonderful,lovely,excellent,take your time,no rush,no hurry,i m listening,go on,understood,"
        "very well,awesome",
        "accept": "yes please,go ahead,that s right,that s correct,correct,exactly,please do,do it,do that,"
        "that works,absolutely,definitely,yes that s right",
        "no": "no,nope,nah,no no",
        "decline": "no thanks,no thank you,that s all,nothing else,no that s all,that will be all,i m good,that s it,"
        "no that s fine,nothing more",
        "not": "not,don t,dont,do not,never,isn t",
        "but": "but,except,however,although,unless",
        "hold": "wait,hold on,hang on,one moment,one second,one sec,a moment,a second,a sec,just a moment,"
        "just a second,just a sec,just a minute,one minute,a minute,give me a second,give me a moment,"
        "give me a minute,"
        "give me a sec,let me think,let me check,let me see,bear with me,hold it,wait a minute,wait a second,"
        "wait a moment,wait wait,not yet,hold off,two minutes,two seconds,a couple of minutes",
        "stop": "stop,halt,stop it,stop that,stop there,stop stop",
        "cancel": "cancel,cancel that,cancel it,cancel this,never mind,nevermind,forget it,"
        "forget that,forget about it,forget about,scrap that,"
        "scrap it,abort,"
        "don t do that,don t do it,do not do that,do not do it,don t bother,call it off,leave it,undo that,"
        "undo it,"
        "take that back,i don t want it,i don t want that,i don t want it anymore,i don t want that anymore",
        "keep": "don t cancel,don t stop,do not cancel,do not stop,keep it,keep going,carry on,continue,"
        "leave it as it is,please continue",
        "change": "make it,make that,make it for,change it,change that,change it to,change,change the,instead,rather,"
        "i meant,i mean,not that,let s make it,move it,move it to,switch it,switch it to,push it,"
        "push it to,better,"
        "would be better,i d rather,i would rather,correction,i changed my mind,changed my mind,wrong,"
        "that s wrong,"
        "that s not right,not right,i said,different,scratch that,reschedule,update it,incorrect,"
        "the other one,a bit later,a little later,a bit earlier,a little earlier,one more person",
        "offer": "how about,what about,could it be,could we do,can we do,would it be possible",
        "also": "also,and also,as well,too,plus,in addition,on top of that,additionally,one more thing,"
        "while you re at it",
        "topic": "by the way,btw,something else,another question,one question,quick question,a question,unrelated,"
        "different question,another thing,i was wondering,speaking of",
        "ask": "what,where,when,why,who,how,which,how much,how long,is there,are there,do you,do i,"
        "can you tell me,"
        "could you tell me,tell me,can i,are you,is it,is the,does,did you,have you,will you,would you,"
        "could you,"
        "can you,what s,what time,what day,is that,will it,should i,do they,will that,is parking",
        "repair": "sorry,pardon,pardon me,excuse me,sorry what,what did you say,say that again,can you repeat that,"
        "could you repeat that,repeat that,come again,hello,hi,are you there,are you still there,"
        "can you hear me,"
        "i can t hear you,i didn t catch that,i didn t get that,what was that,is anybody there,anyone there",
        "am": "am,a m,in the morning",
        "pm": "pm,p m,in the evening,in the afternoon,at night,tonight",
    },
    numbers=english(),
    scales={"hundred": 100, "thousand": 1000},
    articles="one",
    weekdays="monday/mondays tuesday/tuesdays wednesday/wednesdays thursday/thursdays friday/fridays "
    "saturday/saturdays sunday/sundays",
    months="january february march april may june july august september october november december",
    today="today,tomorrow,day after tomorrow/the day after tomorrow",
    units={
        "people": "people,persons,person,guests,guest,adults,of us,seats,seat,folks",
        "nights": "nights,night",
        "days": "days,day",
        "hours": "hours,hour",
        "minutes": "minutes,minute",
        "money": "dollars,dollar,euros,euro,pounds,pound,bucks,rupees,$,€,£,₹",
        "count": "tickets,ticket,pieces,times,bottles,rooms,room,tables,table",
    },
    at="at,by,around,about",
    oclock="o clock,oclock,sharp",
    before={
        "half past": 30, "half": 30, "quarter past": 15, "a quarter past": 15, "quarter after": 15,
        "quarter to": -15, "a quarter to": -15, "ten past": 10, "ten to": -10, "five past": 5, "five to": -5,
        "twenty past": 20, "twenty to": -20,
    },
    noon="noon,midday",
    midnight="midnight",
    minutes_follow=True,
    ordinals="th,st,nd,rd,of",
)  # fmt: skip
